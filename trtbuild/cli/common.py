"""Arguments that several commands share, and the session that they open."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtbuild.cli.settings import resolve
from trtbuild.errors import UsageError
from trtbuild.graph.decision import Listener
from trtbuild.graph.select import Settings
from trtbuild.graph.session import Session
from trtbuild.recipe.load import load_recipes
from trtbuild.report.terminal import Terminal
from trtbuild.store.store import Store

if TYPE_CHECKING:
    from trtbuild.store.remote import Remote


def add_recipes(parser: argparse.ArgumentParser) -> None:
    """One or more recipes."""
    parser.add_argument("recipes", nargs="+", type=Path, metavar="RECIPE", help="a recipe file")


def add_cache(parser: argparse.ArgumentParser) -> None:
    """Where the cache lies."""
    parser.add_argument(
        "--cache",
        type=folder,
        metavar="DIR",
        help="the cache (default: $TRTBUILD_CACHE, else ~/.cache/trtbuild)",
    )


def add_places(parser: argparse.ArgumentParser) -> None:
    """Where the cache and the outputs lie."""
    add_cache(parser)
    parser.add_argument(
        "--out",
        type=folder,
        metavar="DIR",
        help="outputs go to DIR/NAME (default: build/NAME beside the recipe)",
    )


def folder(text: str) -> Path:
    """A folder that the command line names. The empty text, as of a variable that is not set, would
    be the present folder.
    """
    if not text:
        raise argparse.ArgumentTypeError("a folder's name is empty; the present one is '.'")
    return Path(text)


def add_remote(parser: argparse.ArgumentParser) -> None:
    """A cache that others share."""
    parser.add_argument(
        "--remote",
        metavar="URL",
        help="a cache that others share: a folder, or s3://, gs://, az://, https://, ssh://",
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Which tasks."""
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="STAGE",
        choices=stage_names(),
        help="this stage and what it needs; may be repeated",
    )
    parser.add_argument(
        "--precision",
        action="append",
        default=[],
        metavar="P",
        help="this precision; may be repeated",
    )
    parser.add_argument(
        "--rebuild",
        action="append",
        default=[],
        metavar="STAGE",
        choices=stage_names(),
        help="run this stage even if it is up to date; may be repeated",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """JSON instead of text."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def require_file(path: Path, hint: str = "") -> Path:
    """The path of a file that is there. Raises UsageError."""
    if not path.is_file():
        what = "this is a folder" if path.is_dir() else "there is no such file"
        raise UsageError(what, where=str(path), hint=hint)
    return path


def stage_names() -> tuple[str, ...]:
    """The stages that a selection can name."""
    from trtbuild.stages import STAGES

    return tuple(STAGES)


@contextlib.contextmanager
def listening(*, verbose: bool) -> Iterator[Terminal]:
    """A listener for a person, whose live lines are gone at the end."""
    listener = Terminal(verbose=verbose)
    try:
        yield listener
    finally:
        listener.stop()


@contextlib.contextmanager
def open_session(options: argparse.Namespace, listener: Listener) -> Iterator[Session]:
    """Load the recipes that the command line names and open the cache. Raises RecipeError."""
    values = {name: value.value for name, value in resolve(options).items()}
    with open_store(values) as store:
        recipes = load_recipes(options.recipes, store.memo)
        yield Session(recipes, store, listener, _settings(options, values))


@contextlib.contextmanager
def open_store(values: dict[str, Any]) -> Iterator[Store]:
    """The cache, and behind it the remote one, that settings name.

    At the end uploads get the time that is set for them; what is left goes to a process of its
    own. What went wrong with the remote cache is said.
    """
    store = Store(values["cache"], shared=values["cache_shared"])
    try:
        if values["remote"] is not None:
            from trtbuild.store.remote import Remote  # only with a remote cache

            read_only = values["remote_mode"] == "read"
            remote = Remote(values["remote"], read_only=read_only, timeout=values["remote_timeout"])
            store.use_remote(remote)
        yield store
    finally:
        if store.remote is not None:
            _end_uploads(store, store.remote, values["remote_wait"])
        store.close()


def _end_uploads(store: Store, remote: Remote, seconds: float) -> None:
    from trtbuild.report.cache import print_remote

    left, going_on = store.uploads_left(seconds), False
    if left:
        from trtbuild.store.later import begin

        going_on = begin(store, remote)
    print_remote(remote, left, going_on=going_on)


def run_session(session: Session) -> bool:
    """Run a session; when it is interrupted its children are stopped first."""
    try:
        return session.run()
    except KeyboardInterrupt:
        session.executor.stop()
        raise


def _settings(options: argparse.Namespace, values: dict[str, Any]) -> Settings:
    return Settings(
        stages=frozenset(getattr(options, "only", ())),
        precisions=frozenset(getattr(options, "precision", ())),
        forced=frozenset(getattr(options, "rebuild", ())),
        required=frozenset(getattr(options, "require", ())),
        out=values["out"],
        jobs=values["jobs"],
        keep_going=getattr(options, "keep_going", False),
        only_cached=getattr(options, "only_cached", False),
        link=values["cache_link"] == "hardlink",
    )
