"""What can be set: the command line over the environment over a file over the defaults."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from trtbuild.errors import UsageError
from trtbuild.recipe.problems import did_you_mean
from trtbuild.recipe.units import bytes_of, milliseconds_of
from trtbuild.store.address import checked_url, safe_url
from trtbuild.store.store import default_cache

FILE, TABLE_FILE = "trtbuild.toml", "pyproject.toml"
TABLE = b"[tool.trtbuild"
DAY_SECONDS = 86400.0


class Setting(NamedTuple):  # a dataclass takes longer to make, on the path of a no-op
    """One thing that can be set. `read` makes its value of text or of what TOML holds, and
    raises ValueError with what it wants; `folder` is what relative paths start from."""

    name: str
    read: Callable[[Any, Path], Any]
    default: Callable[[], Any]
    meaning: str

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"TRTBUILD_{self.name.upper()}"


class Value(NamedTuple):
    """What a setting is, and where that comes from."""

    value: Any
    origin: str


def resolve(options: Namespace, folder: Path | None = None) -> dict[str, Value]:
    """Every setting's value for a command line, as given in or above a folder (the present one).

    Raises UsageError for a value that cannot be understood, with its place.
    """
    here = folder or Path.cwd()
    file, table = _file_values(here)
    found = {}
    for setting in SETTINGS:
        given = getattr(options, setting.name, None)
        if given is not None:
            found[setting.name] = _read(setting, given, here, "command line")
        elif text := os.environ.get(setting.variable):
            found[setting.name] = _read(setting, text, here, setting.variable)
        elif file is not None and setting.name in table:
            found[setting.name] = _read(setting, table[setting.name], file.parent, str(file))
        else:
            found[setting.name] = Value(setting.default(), "default")
    return found


def shown(value: Any) -> str:
    """A setting's value for people; credentials in an address are left out."""
    if value is None:
        return "none"
    return safe_url(value) if isinstance(value, str) else str(value)


def age_seconds(value: Any, _: Path | None = None) -> float:
    """The seconds of "90d", "12h", "30m" or "10s". Raises ValueError."""
    text = str(value).strip()
    for unit, seconds in (("d", DAY_SECONDS), ("h", 3600.0)):
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdigit():
            return float(number) * seconds
    milliseconds = milliseconds_of(text)
    if milliseconds is None:
        raise ValueError("a duration, such as 90d, 12h, 30m or 10s")
    return milliseconds / 1000


def size_bytes(value: Any, _: Path | None = None) -> int:
    """The bytes of "50GB" or "20GiB", or of a whole number. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    text = str(value).strip()
    size = int(text) if text.isdigit() else bytes_of(text)
    if size is None:
        raise ValueError("a size, such as 50GB or 20GiB")
    return size


def _file_values(folder: Path) -> tuple[Path | None, Mapping[str, Any]]:
    """The nearest configuration file at or above a folder, and what it sets."""
    place = os.path.abspath(folder)  # noqa: PTH100 - text: this is on the path of a no-op
    while True:
        for name in (FILE, TABLE_FILE):
            try:
                with open(os.path.join(place, name), "rb") as opened:  # noqa: PTH118, PTH123
                    content = opened.read()
            except OSError:
                continue
            if name == FILE or TABLE in content:
                path = Path(place, name)
                return path, _parsed(path, content)
        above = os.path.dirname(place)  # noqa: PTH120
        if above == place:
            return None, {}
        place = above


def _parsed(path: Path, content: bytes) -> Mapping[str, Any]:
    import tomllib  # only where there is a file: it takes time that a no-op need not spend

    try:
        document: Any = tomllib.loads(content.decode())
        if path.name == TABLE_FILE:
            document = document["tool"]["trtbuild"]
    except (ValueError, KeyError) as error:
        raise UsageError(f"cannot be read: {error}", where=str(path)) from error
    names = [setting.name for setting in SETTINGS]
    for name in document:
        if name not in names:
            near = did_you_mean(name, names)
            raise UsageError(
                f"there is no setting {name!r}{near}",
                where=str(path),
                hint="`trtbuild config` lists them",
            )
    return dict(document)


def _read(setting: Setting, given: Any, folder: Path, origin: str) -> Value:
    try:
        return Value(setting.read(given, folder), origin)
    except ValueError as error:
        text = f"{setting.name}: {shown(given)!r} is not {error}"
        raise UsageError(text, where="" if origin == "command line" else origin) from error


def _path(value: Any, folder: Path) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("a path")
    path = Path(value)
    return path if isinstance(value, Path) else folder / path.expanduser()


def _url(value: Any, folder: Path) -> str | None:
    if not isinstance(value, str):
        raise ValueError("the address of a remote cache, or none")  # noqa: TRY004 - caught as one
    if value == "none":
        return None
    return checked_url(value if "://" in value else str(folder / value))


def _choice(*names: str) -> Callable[[Any, Path], str]:
    def read(value: Any, _: Path) -> str:
        if value not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return str(value)

    return read


def _boolean(value: Any, _: Path) -> bool:
    if isinstance(value, bool):
        return value
    if value in ("true", "false", "1", "0"):
        return value in ("true", "1")
    raise ValueError("true or false")


def _count(value: Any, _: Path) -> int:
    if isinstance(value, bool) or not str(value).isdigit() or int(value) < 1:
        raise ValueError("a whole number, 1 or more")
    return int(value)


SETTINGS = (
    Setting("cache", _path, default_cache, "the cache's folder"),
    Setting("cache_shared", _boolean, lambda: False, "whether the folder's group may use it too"),
    Setting(
        "cache_link",
        _choice("copy", "hardlink"),
        lambda: "copy",
        "how engines are put into output folders; hardlink takes no space and makes them read-only",
    ),
    Setting("cache_max_size", size_bytes, lambda: None, "what `cache gc` shrinks the cache to"),
    Setting("cache_max_age", age_seconds, lambda: None, "how long `cache gc` keeps the unused (s)"),
    Setting("out", _path, lambda: None, "outputs go below this folder (else beside the recipe)"),
    Setting("jobs", _count, lambda: 1, "how many tasks run at once"),
    Setting("remote", _url, lambda: None, "a cache that others share: a folder or an address"),
    Setting(
        "remote_mode",
        _choice("read-write", "read"),
        lambda: "read-write",
        "whether new results are put into the remote cache too",
    ),
    Setting("remote_timeout", age_seconds, lambda: 10.0, "how long its answers may take (s)"),
    Setting(
        "remote_wait",
        age_seconds,
        lambda: 0.0,
        "how long a run waits at its end for uploads; what is left goes on in the background (s)",
    ),
)
"""All of them; each can stand on the command line of commands that use it, in the environment as
TRTBUILD_NAME, and in the file."""
