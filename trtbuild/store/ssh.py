"""SFTP as `ssh` does it: hosts that the user knows, and what ~/.ssh/config says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem


class KnownHosts(SFTPFileSystem):  # type: ignore[misc]  # fsspec is read without its types
    """fsspec's file system over SFTP, to hosts in known_hosts alone.

    fsspec's own takes any host's key, so that whoever answers could hand out engines.
    """

    cachable = False

    def __init__(self, host: str, *, timeout: float, **options: Any) -> None:
        self._timeout = timeout
        super().__init__(host, **options)

    def _connect(self) -> None:
        told = _configured(self.host)
        keys = told.get("identityfile")
        self.client = paramiko.SSHClient()
        self.client.load_system_host_keys()
        for name in told.get("userknownhostsfile", "").split():
            self.client.load_system_host_keys(str(Path(name).expanduser()))
        self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        self.client.connect(
            told.get("hostname", self.host),
            port=int(self.ssh_kwargs.get("port") or told.get("port", 22)),
            username=self.ssh_kwargs.get("username") or told.get("user"),
            password=self.ssh_kwargs.get("password"),
            key_filename=[str(Path(key).expanduser()) for key in keys] if keys else None,
            sock=paramiko.ProxyCommand(told["proxycommand"]) if "proxycommand" in told else None,
            timeout=self._timeout,
            banner_timeout=self._timeout,
            auth_timeout=self._timeout,
        )
        self.ftp = self.client.open_sftp()


def _configured(host: str) -> dict[str, Any]:
    """What the user's ~/.ssh/config says of a host."""
    try:
        config = paramiko.SSHConfig.from_path(str(Path("~/.ssh/config").expanduser()))
    except FileNotFoundError:
        return {}
    return dict(config.lookup(host))
