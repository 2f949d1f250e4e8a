"""Write the recipe that does what a trtexec command did."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from trtbuild.cli import numbers
from trtbuild.cli.common import require_file
from trtbuild.cli.ports import ports_of
from trtbuild.errors import ExitCode, UsageError
from trtbuild.recipe.trtexec.convert import convert
from trtbuild.recipe.trtexec.paths import rebase
from trtbuild.recipe.trtexec.read import PROGRAMS, Call, call_of, lines_in
from trtbuild.recipe.trtexec.shapes import Ports
from trtbuild.recipe.trtexec.valid import problems_of
from trtbuild.recipe.trtexec.values import path
from trtbuild.recipe.trtexec.write import recipe_text
from trtbuild.store.files import write_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild import-trtexec` takes."""
    parser.add_argument(
        "command_line",
        nargs="+",
        metavar="ARGS",
        help="trtexec's arguments after --, or one quoted string, a script or a log",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the recipe there")
    parser.add_argument("--name", default="", help="the recipe's name (default: the model's)")
    parser.add_argument(
        "--nth",
        type=numbers.count,
        default=1,
        metavar="N",
        help="the N-th command of a script or log (default 1)",
    )


def main(options: argparse.Namespace) -> ExitCode:
    """Print the recipe, or write it to a file that is not there yet."""
    call = _call(options.command_line, options.nth)
    made = convert(call, _ports(call))
    if options.output is not None and options.output.parent != Path():
        rebase(made, options.output.parent)
    text = recipe_text(call, made, options.name)
    problems = problems_of(text) if made.inputs else ()  # without inputs it says what to add
    if problems:
        raise UsageError(
            f"these options make no recipe: {'; '.join(problems)}",
            hint="change or leave out what this names; trtexec refuses most of it too, and passes "
            "over the rest",
        )
    if options.output is None:
        print(text, end="")  # noqa: T201 - the command's whole result
        return ExitCode.DONE
    if options.output.exists():
        raise UsageError(
            "this file is there already", where=str(options.output), hint="choose another name"
        )
    write_file(options.output, text.encode())
    return ExitCode.DONE


def _call(words: list[str], nth: int) -> Call:
    if len(words) > 1 or (words[0].startswith("--") and " " not in words[0]):
        return call_of(words)
    file = Path(words[0])
    if len(words[0].split()) == 1 and file.stem not in PROGRAMS:
        require_file(file, "give trtexec's arguments after --, a script or a log")
    text = file.read_text(errors="replace") if _is_file(file) else words[0]
    lines = lines_in(text)
    if not 1 <= nth <= len(lines):
        raise UsageError(f"there are {len(lines)} commands in this, no number {nth}")
    if len(lines) > 1:
        print(f"command {nth} of {len(lines)}; --nth chooses", file=sys.stderr)  # noqa: T201
    return lines[nth - 1].call()


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a command is longer than the name of a file can be
        return False


def _ports(call: Call) -> Ports | None:
    """The inputs and outputs of the model that the call names, where it is there."""
    files = [option.value for option in call.options if option.name == "--onnx"]
    return ports_of(Path(path(files[-1]))) if files and files[-1] else None
