"""Whether a cache is whole: every blob is read and hashed again, every trace is checked."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trtbuild.store.action_cache import decode_trace, is_of
from trtbuild.store.digest import digest_of_file
from trtbuild.store.files import file_lock, store_errors
from trtbuild.store.index import Found, scan


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong: in which file, and what."""

    path: Path
    text: str


def audit(root: Path, progress: Callable[[float], None] | None = None) -> tuple[Damage, ...]:
    """All that is wrong with a cache; nothing remembered is trusted, nothing is changed.

    Traces are listed first: what a build puts in meanwhile is left to the next audit.
    """
    traces = [trace.key for trace in scan(root / "actions", ".json")]
    blobs = list(scan(root / "cas"))
    total = sum(blob.size_bytes for blob in blobs) or 1
    done = 0
    found, whole = [], {}
    for blob in blobs:
        damage = _blob_damage(root, blob)
        if damage is None:
            whole[blob.key] = blob.size_bytes
        else:
            found.append(damage)
        done += blob.size_bytes
        if progress is not None:
            progress(done / total)
    for key in traces:
        path = root / "actions" / key[:2] / f"{key[2:]}.json"
        if text := _trace_damage(path, key, whole):
            found.append(Damage(path, text))
    return tuple(found)


def repair(root: Path, found: tuple[Damage, ...]) -> None:
    """Remove what is damaged; the next run makes it again. Raises StoreError.

    A file that was replaced since it was read is judged again by the next audit.
    """
    with file_lock(root / "locks" / "in-use"):
        for damage in found:
            with store_errors("cannot remove", damage.path), contextlib.suppress(FileNotFoundError):
                if damage.path.is_dir() and not damage.path.is_symlink():
                    shutil.rmtree(damage.path)
                else:
                    damage.path.unlink()


def _blob_damage(root: Path, blob: Found) -> Damage | None:
    path = root / "cas" / blob.key[:2] / blob.key[2:]
    try:
        digest = digest_of_file(path)
    except FileNotFoundError:
        return None  # collected meanwhile
    except OSError as error:
        return Damage(path, f"cannot be read: {error.strerror}")
    if digest.hash == blob.key:
        return None
    return Damage(path, f"its bytes hash to {digest.hash[:12]}")


def _trace_damage(path: Path, key: str, whole: dict[str, int]) -> str:
    try:
        trace = decode_trace(path.read_bytes())
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if trace is None:
        return "no trace, or a damaged one"
    if not is_of(trace, key):
        return "its action has another key"
    lost = [name for name, digest in trace.outputs if whole.get(digest.hash) != digest.size_bytes]
    return f"its {', '.join(lost)} is not in the cache" if lost else ""
