"""Finds trtexec's arguments in a command line, a script, a program or a log."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PureWindowsPath

from trtbuild.errors import UsageError
from trtbuild.recipe.problems import nearest
from trtbuild.recipe.trtexec.embedded import program_of, words_in
from trtbuild.recipe.trtexec.script import commands_in
from trtbuild.recipe.trtexec.table import BY_NAME, REPEATABLE, RTX_ONLY

PROGRAMS = {"trtexec": "tensorrt", "tensorrt_rtx": "tensorrt_rtx"}
PROGRAM_OF = {backend: program for program, backend in PROGRAMS.items()}
_RUNNING = re.compile(r"&&&& RUNNING TensorRT[\w.-]*(?P<tags>(?: \[[^\]]*\])*) # (?P<line>.+)")
_LOGGED = re.compile(r"(?P<program>.*?(?:trtexec|tensorrt_rtx)(?:\.exe)?)\s+(?P<words>-.*)")
_VERSION = re.compile(r"\[TensorRT v(\d+)\]")  # 8601 is 8.6.1, 101601 is 10.16.1
_VARIABLE = re.compile(r"\$|%(?:~\w|\w+%|%\w|\d)")
_OPTIONS = re.compile(r"^\s*--", re.M)
_SHORT = frozenset({"--help", "-h"})
_SAYING = frozenset({"echo", "printf", "alias", "grep", "write-host", "write-output"})
_ARRAY = re.compile(r"\[\s*\"[^\[\]]*\"\s*\]")
_ENDS = frozenset({"|", "||", "&&", ";", "&", ">", ">>", "2>", "2>&1", "<", "|&"})


@dataclass(frozen=True, slots=True)
class Given:
    """One option as it was given; `value` is None where it has none."""

    name: str
    value: str | None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of trtexec: its options in order, and the backend that its program stands for.

    `major` is TensorRT's first number, where a log tells it.
    """

    options: tuple[Given, ...]
    backend: str
    major: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """The words of a command that was found in a text, and what the text says of its version."""

    words: tuple[str, ...]
    major: int | None = None
    number: int = 0  # of the text's line, from 1 on

    def call(self) -> Call:
        """What the words say. Raises UsageError as `call_of`, with the line's number."""
        try:
            return replace(call_of(self.words), major=self.major)
        except UsageError as error:
            where = f"line {self.number}"
            raise UsageError(error.what, where=where, hint=error.hint) from None


def lines_in(text: str) -> tuple[Line, ...]:
    """The commands in a text: a log's RUNNING lines, else a script's, else arguments alone.

    Raises UsageError where there is none.
    """
    found = _in_log(text) or _in_program(text) or _in_script(text)
    if not found:
        raise UsageError(
            "there is no trtexec command in this",
            hint="give its arguments after --, a script that calls it, or a log with its "
            "'&&&& RUNNING' line" + _mentioned(text),
        )
    return tuple(found)


def call_of(words: Sequence[str]) -> Call:
    """The call of some words: the program's name may come first.

    Raises UsageError for another program, options that trtexec never had, and variables.
    """
    backend = ""
    if words and not words[0].startswith("-"):
        name = _program(words[0])
        if name not in PROGRAMS:
            raise UsageError(f"'{words[0]}' is not trtexec", hint="options begin with --")
        backend, words = PROGRAMS[name], words[1:]
    options = tuple(_given(words))
    if any(option.name in RTX_ONLY for option in options):
        backend = "tensorrt_rtx"
    return Call(options, backend or "tensorrt")


def _in_log(text: str) -> list[Line]:
    """A log has the words as the program got them, without a shell's quotes."""
    found = []
    for logged in _RUNNING.finditer(text):
        if line := _LOGGED.fullmatch(logged["line"].rstrip()):
            words = (line["program"], *re.split(r"\s+(?=-)", line["words"]))
            number = text.count("\n", 0, logged.start()) + 1
            found.append(Line(words, _major(logged["tags"]), number))
    return found


def _major(tags: str) -> int | None:
    """11 for "[TensorRT v110100] [b5]"."""
    found = _VERSION.search(tags)
    if found is None:
        return None
    number = int(found[1])
    return number // 10000 if number >= 100000 else number // 1000


def _in_program(text: str) -> list[Line]:
    """The commands that a Python program runs."""
    program = program_of(text)
    found = []
    for number, words in words_in(program) if program else ():
        if isinstance(words, str):
            found += [replace(line, number=number) for line in _in_script(words)]
        else:
            found += _line_of(words, number)
    return found


def _in_script(text: str) -> list[Line]:
    if not any(program in text for program in PROGRAMS) and not _OPTIONS.search(text):
        return []  # a file of something else may be long
    return [line for number, text in commands_in(text) for line in _commands(text, number)]


def _commands(command: str, number: int) -> list[Line]:
    """The call in a command, also in a text that it gives to a shell, or as JSON."""
    if array := _ARRAY.search(command):
        with contextlib.suppress(ValueError):
            return _line_of(json.loads(array[0]), number)
    try:
        words = _until_end(shlex.split(command, comments=True))
    except ValueError:
        return []  # a line of a script that is no command of ours, such as half of a string
    if not words or words[0].lower() in _SAYING:
        return []
    if words[0].startswith("--"):
        return [Line(tuple(words), number=number)]
    inner = [word for word in words if " " in word.strip() and word != command]
    return _line_of(words, number) or [
        replace(line, number=number)
        for word in inner
        if not word.startswith("-")
        for line in _in_script(word)
    ]


def _line_of(words: list[str], number: int) -> list[Line]:
    """From the program's name on; a name without any option, as in `which trtexec`, is no call."""
    for index in reversed(range(len(words))):
        options = [word for word in words[index + 1 :] if word.startswith(("--", "$"))]
        if _is_program(words[index]) and not _SHORT.issuperset(options):
            return [Line(tuple(words[index:]), number=number)]
    return []


def _is_program(word: str) -> bool:
    return not word.startswith("-") and _program(word) in PROGRAMS


def _program(word: str) -> str:
    return PureWindowsPath(word).name.removesuffix(".exe")  # it knows both separators


def _mentioned(text: str) -> str:
    lines = [n for n, line in enumerate(text.splitlines(), 1) if any(p in line for p in PROGRAMS)]
    if not lines or len(lines) == text.count("\n") + 1 == 1:
        return ""
    places = ", ".join(map(str, lines[:5])) + (", ..." if len(lines) > 5 else "")
    return f"; what names it in line {places} has no options, or is put together in another way"


def _until_end(words: list[str]) -> list[str]:
    """The words up to the shell's next operator."""
    kept = []
    for word in words:
        if word in _ENDS or re.match(r"^\d?>", word):
            break
        kept.append(word.removesuffix(";"))
        if word.endswith(";"):
            break
    return kept


def _given(words: Sequence[str]) -> list[Given]:
    found: list[Given] = []
    unknown = []
    for word in words:
        name, equals, value = word.partition("=")
        if _VARIABLE.search(name):
            raise UsageError(f"{word}: its variable has no value here", hint="write the value")
        if not word.startswith("-") and found and found[-1].value is None:
            last = found[-1].name
            raise UsageError(
                f"'{word}' stands alone", hint=f"if it is the value of {last}: {last}={word}"
            )
        if name not in BY_NAME:
            near = nearest(name, BY_NAME)
            unknown.append(f"'{name}'" + (f" (did you mean {near[0]}?)" if near else ""))
            continue
        # Of an option without a key, as the engine's file in a Makefile ($@), it is not used.
        if _VARIABLE.search(value) and BY_NAME[name].key:
            raise UsageError(f"{word}: its variable has no value here", hint="write the value")
        option = Given(name, value if equals else None)
        before = next((given for given in found if given.name == name), None)
        if before is not None and name not in REPEATABLE:
            raise UsageError(
                f"{option}: {before} stands before it, and trtexec takes {name} once",
                hint="leave one of them out",
            )
        found.append(option)
    if unknown:
        raise UsageError(
            f"trtexec has no option {', '.join(unknown)}",
            hint="options of TensorRT 7.2 to 11.1 and of TensorRT-RTX are known, as --name=value",
        )
    return found
