"""The command line: one module per command, and the one place that turns errors into exit codes."""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import trtbuild
from trtbuild.cli.streams import close_streams, open_streams
from trtbuild.errors import ExitCode, RecipeError, TrtbuildError, UsageError

COMMANDS = {
    "run": "bring recipes up to date: run what is stale, restore what is cached",
    "plan": "say what a run would do, and why; needs no GPU and changes nothing",
    "explain": "say how a task's action differs from the recorded one, field by field",
    "validate": "check recipes: every problem at once, with its place",
    "schema": "print the JSON Schema of recipes or results, for editors and other tools",
    "sensitivity": "measure what each node's low precision costs, and which few to keep in fp32",
    "bench": "measure an engine file on the GPU, with a recipe or without",
    "compare": "say how two engines, results or variants differ",
    "accept": "make the present benchmark results what regressions are judged against",
    "lock": "write down what a recipe's tasks are made of and gave, in a file to commit",
    "rebuild": "build again from nothing, and say how far the result is the same",
    "release": "bundle verified, locked engines with all that proves where they come from",
    "verify-release": "check a bundle: every digest, its signature, its provenance",
    "clean": "remove what runs of recipes made, and nothing else; the cache can restore it",
    "cache": "look into the cache, check it, keep it small, share it with a remote one",
    "inspect": "say what an engine or ONNX file is, and what made it",
    "doctor": "say what this machine can do, and what recipes need that it lacks",
    "import-trtexec": "write the recipe that does what a trtexec command did",
    "export-trtexec": "print the trtexec commands nearest to a recipe, and what they cannot say",
    "config": "print each setting with where it comes from",
}
"""Each is a module here of the same name (with _ for -), imported when it was asked for."""

Command = Callable[[argparse.Namespace], ExitCode]

OBJECTS_BETWEEN_COLLECTIONS = 100_000
"""Python's default of 700 costs a short run a twentieth of its time, and frees nothing."""

EPILOG = """\
exit codes: 0 done, 1 a stage or gate failed, 2 recipe or usage invalid, 3 a bug in trtbuild,
4 a difference was found, 130 interrupted
"""


def entry_point() -> None:
    """The `trtbuild` program."""
    signal.signal(signal.SIGTERM, _interrupt)
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    open_streams()
    try:
        code = main(sys.argv[1:])
    except SystemExit as ended:  # argparse, after help or with what is wrong
        code = ExitCode(ended.code if isinstance(ended.code, int) else ExitCode.DONE)
    if reason := close_streams():
        print(f"error: standard output could not be written: {reason}", file=sys.stderr)  # noqa: T201
        sys.stderr.flush()
        code = code or ExitCode.FAILED
    if threading.active_count() == 1:
        # Taking the interpreter apart is a tenth of a run that has nothing to do.
        os._exit(int(code))
    raise SystemExit(int(code))


def main(arguments: Sequence[str]) -> ExitCode:
    """Run one command and return its exit code; whatever goes wrong is printed here."""
    as_json = "--json" in arguments
    try:
        asked = next(iter(arguments), None)
        options = parser(asked, as_json=as_json).parse_args(arguments)
        command: Command = _module(options.command).main
        return command(options)
    except TrtbuildError as error:
        _print_error(error, as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; whatever was finished is kept", file=sys.stderr)  # noqa: T201
        return ExitCode.INTERRUPTED
    except Exception as bug:  # the edge of the program: a person gets a sentence, not a traceback
        return _report_bug(bug)


def parser(asked: str | None = None, *, as_json: bool = False) -> argparse.ArgumentParser:
    """The parser of all commands; only the one asked for knows its own arguments.

    With `as_json` it raises a UsageError for what it cannot parse, where argparse would exit.
    """
    kind = _Raising if as_json else argparse.ArgumentParser
    top = kind(
        prog="trtbuild",
        description=trtbuild.__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"trtbuild {trtbuild.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # argparse takes a moment for each parser: the others are for help and for unknown commands.
    for name in (asked,) if asked in COMMANDS else COMMANDS:
        summary = COMMANDS[name]
        sub = commands.add_parser(
            name, help=summary, description=summary, allow_abbrev=False, formatter_class=_Formatter
        )
        if name == asked:
            _module(name).add_arguments(sub)
    return top


def _module(command: str) -> Any:
    return importlib.import_module(f"trtbuild.cli.{command.replace('-', '_')}")


class _Raising(argparse.ArgumentParser):
    """A parser for who reads JSON, to whom argparse's own messages say nothing."""

    def error(self, message: str) -> NoReturn:
        """What is wrong with the command line."""
        raise UsageError(message, hint=f"see {self.prog} --help")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Wider than argparse's guess, so that options and their help stand on one line."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30)


def _print_error(error: TrtbuildError, *, as_json: bool) -> None:
    if as_json:
        from trtbuild.report.document import error_document, print_json

        print_json(error_document(error))
    elif isinstance(error, RecipeError):
        count = len(error.problems)
        print("\n".join(error.problems), file=sys.stderr)  # noqa: T201 - the program's edge
        print(f"{count} problem{'s' if count > 1 else ''} found", file=sys.stderr)  # noqa: T201
    else:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201


def _report_bug(bug: Exception) -> ExitCode:
    import tempfile
    import traceback

    text = "".join(traceback.format_exception(bug))
    with tempfile.NamedTemporaryFile(
        "w", prefix="trtbuild-bug-", suffix=".log", delete=False
    ) as log:
        log.write(f"trtbuild {trtbuild.__version__}, Python {sys.version}\n\n{text}")
    print(  # noqa: T201 - the program's edge
        f"error: this is a bug in trtbuild: {type(bug).__name__}: {bug}\n"
        f"  please report it with {Path(log.name)}",
        file=sys.stderr,
    )
    return ExitCode.BUG


def _interrupt(*_: object) -> None:
    """Being told to end is like being interrupted: children are stopped, what is done is kept."""
    raise KeyboardInterrupt
