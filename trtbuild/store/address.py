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
        if len(value) >= 6 and re.search(_SECRET, name):
            line = line.replace(value, "***")
    return line if len(line) <= 160 else f"{line[:157]}..."


def connect(url: str, timeout: float) -> tuple[Any, str]:
    """fsspec's file system for an address, and the path in it. Raises MissingPackage."""
    scheme = url.partition("://")[0]
    options: dict[str, Any] = {"skip_instance_cache": True}
    if scheme == "s3":
        patience = {"connect_timeout": timeout, "read_timeout": timeout}
        options |= {"use_listings_cache": False, "config_kwargs": patience}
    try:
        from fsspec.core import url_to_fs

        filesystem, path = url_to_fs(url, **options)
    except ImportError as error:
        package = PROTOCOLS[scheme] or "fsspec"
        raise MissingPackage(
            f"a remote cache at {scheme}:// needs fsspec and {package}".replace(
                "fsspec and fsspec", "fsspec"
            ),
            hint=f"pip install 'trtbuild[remote]'{f' {package}' if PROTOCOLS[scheme] else ''}",
        ) from error
    return filesystem, path.rstrip("/")
