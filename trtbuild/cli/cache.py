"""Look into the cache, check it, keep it small, and exchange results with a remote one."""

from __future__ import annotations

import argparse
import contextlib
import gc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtbuild.cli.common import (
    add_cache,
    add_json,
    add_places,
    add_remote,
    folder,
    open_store,
    stage_names,
)
from trtbuild.cli.settings import resolve
from trtbuild.errors import ExitCode, UsageError
from trtbuild.store.address import safe_url

if TYPE_CHECKING:
    from trtbuild.store.remote import Remote
    from trtbuild.store.roots import Keep
    from trtbuild.store.store import Store

Values = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild cache` takes."""
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, (summary, _) in ACTIONS.items():
        sub = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        if name == "show":
            sub.add_argument("key", metavar="KEY", help="an action key, or how one begins")
        if name == "ls":
            sub.add_argument(
                "--stage", metavar="STAGE", choices=stage_names(), help="only actions of this stage"
            )
        if name == "verify":
            sub.add_argument("--repair", action="store_true", help="remove what is damaged")
        if name == "gc":
            _add_gc(sub)
        if name == "why":
            sub.add_argument("recipe", type=Path, metavar="RECIPE", help="a recipe file")
        if name in ("push", "pull", "why"):
            add_remote(sub)
        if name == "why":  # the only one that looks at outputs
            add_places(sub)
        else:
            add_cache(sub)
        add_json(sub)


def main(options: argparse.Namespace) -> ExitCode:
    """Do what was asked for."""
    gc.disable()  # looking for cycles in 100,000 entries, of which none goes, takes half the time
    values = {name: value.value for name, value in resolve(options).items()}
    return ACTIONS[options.action][1](options, values)


def _add_gc(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-size",
        dest="cache_max_size",
        metavar="SIZE",
        help="shrink to this size, the least recently used first: 50GB",
    )
    parser.add_argument(
        "--max-age",
        dest="cache_max_age",
        metavar="AGE",
        help="remove what was not used for so long: 90d, 12h",
    )
    parser.add_argument(
        "--keep-locked",
        nargs="?",
        type=folder,
        const=Path(),
        metavar="DIR",
        help="keep what a lock file names, or those (*.lock) at or below DIR (default: here)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")


def _stats(options: argparse.Namespace, values: Values) -> ExitCode:
    from trtbuild.report.cache import print_statistics, statistics
    from trtbuild.store.gc import Limits, plan_collection, read_entries

    root = _existing(values)
    entries, damaged = read_entries(root)
    collection = plan_collection(root, entries, damaged, Limits(), _kept(root, None))
    return _print(options, statistics(root, collection, entries), print_statistics)


def _ls(options: argparse.Namespace, values: Values) -> ExitCode:
    from trtbuild.report.cache import entry_document, print_entries
    from trtbuild.store.gc import read_entries

    entries = [
        entry
        for entry in read_entries(_existing(values))[0]
        if options.stage is None or entry.stage == options.stage
    ]
    entries.sort(key=lambda entry: -entry.used)
    document = {"format": 1, "actions": [entry_document(entry) for entry in entries]}
    return _print(options, document, lambda _: print_entries(entries))


def _show(options: argparse.Namespace, values: Values) -> ExitCode:
    from trtbuild.report.cache import print_trace
    from trtbuild.store.index import keys_starting_with
    from trtbuild.store.store import Store

    root = _existing(values)
    keys = keys_starting_with(root, options.key)
    if len(keys) != 1:
        many = ", ".join(key[:16] for key in keys)
        raise UsageError(
            f"{len(keys)} actions begin with {options.key}" if keys else f"no action {options.key}",
            hint=many or "`trtbuild cache ls` lists them",
        )
    store = Store(root, shared=values["cache_shared"])
    try:
        trace = store.actions.lookup(keys[0])
        if trace is None:
            raise UsageError(f"the trace of {keys[0]} is damaged", hint="`trtbuild cache verify`")
        present = [store.cas.has(digest) for _, digest in trace.outputs]
    finally:
        store.close()
    document = {
        "format": 1,
        "key": keys[0],
        "action": trace.action,
        "seconds": trace.seconds,
        "warnings": trace.warnings,
        "outputs": {
            name: {"sha256": digest.hash, "size_bytes": digest.size_bytes, "present": there}
            for (name, digest), there in zip(trace.outputs, present, strict=True)
        },
    }
    return _print(options, document, lambda _: print_trace(keys[0], trace, present))


def _verify(options: argparse.Namespace, values: Values) -> ExitCode:
    from trtbuild.report.cache import meter, print_damage
    from trtbuild.store.audit import audit, repair

    root = _existing(values)
    with meter("reading") as told:
        found = audit(root, told)
    if options.repair:
        repair(root, found)
    document = {
        "format": 1,
        "repaired": options.repair,
        "damaged": [{"path": str(damage.path), "text": damage.text} for damage in found],
    }
    exit_code = ExitCode.DONE if options.repair or not found else ExitCode.FAILED
    return _print(
        options, document, lambda _: print_damage(found, repaired=options.repair), exit_code
    )


def _gc(options: argparse.Namespace, values: Values) -> ExitCode:
    from trtbuild.report.cache import collection_document, meter, print_collection
    from trtbuild.store.files import file_lock
    from trtbuild.store.gc import Limits, collect, plan_collection, read_entries
    from trtbuild.store.roots import note_registered

    root = _existing(values)
    limits = Limits(values["cache_max_size"], values["cache_max_age"])
    with file_lock(root / "locks" / "gc"):
        entries, damaged = read_entries(root)
        if not options.dry_run:
            note_registered(root)
        kept = _kept(root, options.keep_locked)
        collection = plan_collection(root, entries, damaged, limits, kept)
        if not options.dry_run:
            with meter("removing") as told:
                collect(root, collection, told)
    document = collection_document(collection, done=not options.dry_run)
    return _print(
        options, document, lambda _: print_collection(collection, done=not options.dry_run)
    )


def _push(options: argparse.Namespace, values: Values) -> ExitCode:
    from trtbuild.store.gc import read_entries
    from trtbuild.store.upload import Uploader

    with _with_remote(values) as (store, remote):
        if remote.read_only:
            raise UsageError("the remote cache is only read (remote_mode)")
        uploader = Uploader(store.root, store.cas, store.actions, remote)
        entries, _ = read_entries(store.root)
        wanted = remote.lacking([entry.key for entry in entries])
        if wrong := uploader.wrong():  # also of traces that it has
            repairing = {entry.key for entry in entries if not wrong.isdisjoint(entry.hashes)}
            wanted += sorted(repairing - set(wanted))
        done = 0
        for key in _metered("pushing", wanted):
            done += not remote.is_off("write") and uploader.upload(key)
        return _exchanged(options, "pushed", done, len(wanted), remote)


def _pull(options: argparse.Namespace, values: Values) -> ExitCode:
    with _with_remote(values) as (store, remote):
        if why := remote.why_unlisted():
            raise UsageError(
                f"nothing can be pulled from {safe_url(remote.url)}: {why}",
                hint="`trtbuild run --remote` fetches what it needs, by name",
            )
        wanted = [key for key in remote.action_keys() if store.actions.lookup(key) is None]
        done = 0
        for key in _metered("pulling", wanted):
            trace = remote.trace(key)
            done += trace is not None and store.obtain(key, trace)
        return _exchanged(options, "pulled", done, len(wanted), remote)


def _why(options: argparse.Namespace, _: Values) -> ExitCode:
    from trtbuild.cli.common import open_session
    from trtbuild.report.explanation import misses, print_misses
    from trtbuild.report.terminal import Quiet

    options.recipes = [options.recipe]
    with open_session(options, Quiet()) as session:
        session.preview()
        found = misses(session.rebuilders[0])
    document = {"format": 1, "recipe": str(options.recipe), "misses": found}
    return _print(options, document, lambda _: print_misses(found))


@contextlib.contextmanager
def _with_remote(values: Values) -> Iterator[tuple[Store, Remote]]:
    if values["remote"] is None:
        raise UsageError(
            "no remote cache is set", hint="--remote URL, or `remote` in trtbuild.toml"
        )
    with open_store({**values, "remote_wait": 0.0}) as store:
        assert store.remote is not None  # noqa: S101 - open_store made it
        yield store, store.remote


def _metered(text: str, keys: Sequence[str]) -> Iterator[str]:
    """The keys one by one, while a terminal shows how many are done."""
    from trtbuild.report.cache import meter

    with meter(text) as told:
        for number, key in enumerate(keys):
            told(number / len(keys))
            yield key


def _exchanged(
    options: argparse.Namespace, verb: str, done: int, wanted: int, remote: Remote
) -> ExitCode:
    """Say what was exchanged; whoever asked for it by name is told by the exit code too."""
    document = {"format": 1, verb: done, "wanted": wanted, "warnings": remote.warnings}
    exit_code = ExitCode.DONE if done == wanted and not remote.is_off() else ExitCode.FAILED
    text = f"{verb} {done} of {wanted} actions"
    return _print(options, document, lambda _: print(text), exit_code)  # noqa: T201 - the result


def _kept(root: Path, place: Path | None) -> Keep:
    """What lock files keep: those that were registered with the cache, and those of a place."""
    from trtbuild.store.roots import Keep, keep, keep_registered, lock_files

    if place is None:
        return keep_registered(root)
    found = [place] if place.is_file() else lock_files(place)
    if not found:
        what = "no lock file is at or below it" if place.is_dir() else "there is no such folder"
        raise UsageError(f"--keep-locked {place} keeps nothing: {what}")
    return Keep(keep_registered(root).names | keep(found).names)


def _existing(values: Values) -> Path:
    from trtbuild.store.files import store_errors

    root: Path = values["cache"]
    with store_errors("cannot read the cache", root, reading=True):
        there = root.is_dir()
    if not there:
        raise UsageError(f"there is no cache at {root}", hint="`trtbuild run` makes one")
    return root


def _print(
    options: argparse.Namespace,
    document: dict[str, Any],
    text: Callable[[dict[str, Any]], None],
    exit_code: ExitCode = ExitCode.DONE,
) -> ExitCode:
    if options.json:
        from trtbuild.report.document import print_json

        print_json(document, exit_code)
    else:
        text(document)
    return exit_code


ACTIONS: dict[str, tuple[str, Callable[[argparse.Namespace, Values], ExitCode]]] = {
    "stats": ("say how much is in the cache, by stage", _stats),
    "ls": ("list the actions, the most recently used first", _ls),
    "show": ("print one action: what it was made of, and what came out", _show),
    "verify": ("read and hash everything again", _verify),
    "gc": ("remove what is old, too much, or used by nothing", _gc),
    "push": ("put into the remote cache what it lacks of this one", _push),
    "pull": ("fetch all that the remote cache has and this one lacks", _pull),
    "why": ("say why tasks of a recipe are not cached: what the nearest entries have else", _why),
}
