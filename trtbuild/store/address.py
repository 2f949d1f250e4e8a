"""Where a remote cache is, and how that is said without the credentials in it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from trtbuild.errors import MissingPackage, UsageError

PROTOCOLS = {
    "file": "",
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "http": "aiohttp",
    "https": "aiohttp",
    "ssh": "paramiko",
    "sftp": "paramiko",
}
"""The kinds of remote, and the package that fsspec needs for each."""

# Texts, not compiled: a no-op without a remote cache needs none of them.
_SCHEME = r"^([A-Za-z][A-Za-z0-9+.-]*)://"
_USER = r"(?<=://)[^/@\s]*@"
_QUERY = r"[?#][^\s'\")>\]]*"
_SECRET = r"(?i:KEY|SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|AUTH)"  # noqa: S105 - a pattern


def checked_url(text: str) -> str:
    """A remote's address, with the scheme of a plain folder filled in. Raises UsageError.

    Chained addresses ("simplecache::...") and other schemes are refused: they reach further than
    a cache should.
    """
    match = re.match(_SCHEME, text)
    if match is None and "::" not in text and text:
        return f"file://{os.path.abspath(text)}"  # noqa: PTH100 - text in, text out
    scheme = match[1].lower() if match else ""
    if scheme not in PROTOCOLS or "::" in text:
        raise UsageError(
            f"{safe_url(text)} is no place for a remote cache",
            hint=f"a folder, or an address of {', '.join(PROTOCOLS)}",
        )
    return text.rstrip("/")


def safe_url(text: str) -> str:
    """An address without user, password, query and fragment."""
    return re.sub(_QUERY, "", re.sub(_USER, "", text))


def scrubbed(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """A message of somebody else's in one short line without what looks like a credential.

    What environment variables of such names hold is taken out wherever it stands.
    """
    line = safe_url(" ".join(text.split()))
    for name, value in environment.items():
        if len(value) >= 6 and is_secret(name):
            line = line.replace(value, "***")
    return line if len(line) <= 160 else f"{line[:157]}..."


def is_secret(variable: str) -> bool:
    """Whether an environment variable is called as one that holds a credential."""
    return re.search(_SECRET, variable) is not None


def connect(url: str, timeout: float) -> tuple[Any, str]:
    """fsspec's file system for an address, and the path in it. Raises MissingPackage."""
    scheme = url.partition("://")[0]
    try:
        if scheme in ("ssh", "sftp"):
            return _over_ssh(url, timeout)
        from fsspec.core import url_to_fs

        options = {"skip_instance_cache": True, **_patience(scheme, timeout)}
        filesystem, path = url_to_fs(url, **options)
    except ImportError as error:
        package = PROTOCOLS[scheme]
        names = f"fsspec and {package}" if package else "fsspec"
        raise MissingPackage(
            f"a remote cache at {scheme}:// needs {names}",
            hint=f"pip install 'trtbuild[remote]' {package}".rstrip(),
        ) from error
    return filesystem, path.rstrip("/")


def _over_ssh(url: str, timeout: float) -> tuple[Any, str]:
    from urllib.parse import urlsplit

    from trtbuild.store.ssh import KnownHosts

    parts = urlsplit(url)
    options = {"username": parts.username, "password": parts.password, "port": parts.port}
    given = {name: value for name, value in options.items() if value is not None}
    return KnownHosts(parts.hostname or "", timeout=timeout, **given), parts.path.rstrip("/")


def _patience(scheme: str, timeout: float) -> dict[str, Any]:
    """Options of the libraries: how long they wait, where their own limits do not fit ours."""
    if scheme == "s3":
        patience = {"connect_timeout": timeout, "read_timeout": timeout}
        return {"use_listings_cache": False, "config_kwargs": patience}
    if scheme in ("http", "https"):
        from aiohttp import ClientTimeout

        # aiohttp gives up after five minutes in all, which a large engine takes.
        limit = ClientTimeout(total=None, sock_connect=timeout)
        return {"client_kwargs": {"timeout": limit, "trust_env": True}}  # proxies, ~/.netrc
    return {}
