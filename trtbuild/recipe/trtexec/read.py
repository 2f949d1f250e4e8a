"""Finds trtexec's arguments in a command line, a shell script or a log."""

from __future__ import annotations

import re
import shlex
import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from trtbuild.errors import UsageError
from trtbuild.recipe.problems import nearest
from trtbuild.recipe.trtexec.table import BY_NAME, RTX_ONLY

PROGRAMS = {"trtexec": "tensorrt", "tensorrt_rtx": "tensorrt_rtx"}
_RUNNING = re.compile(r"&&&& RUNNING TensorRT[\w.-]*(?P<tags>(?: \[[^\]]*\])*) # (?P<line>.+)")
_VERSION = re.compile(r"\[TensorRT v(\d+)\]")  # 8601 is 8.6.1, 101601 is 10.16.1
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)=(\S*|\"[^\"]*\"|'[^']*')\s*$", re.M)
_DEFAULT = re.compile(r"\$\{(?P<name>\w+):?-(?P<value>[^}]*)\}")
_BATCH = re.compile(r"\^\r?$|^\s*@?echo off\b|^\s*@?set \"?\w+=|^\s*@?rem ", re.M | re.I)
_SET = re.compile(r"^\s*@?set \"?(\w+)=([^\"\r\n]*)\"?\s*$", re.M | re.I)
_PERCENT = re.compile(r"%(?P<name>\w+)%")
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

    def call(self) -> Call:
        """What the words say. Raises UsageError as `call_of`."""
        return replace(call_of(self.words), major=self.major)


def lines_in(text: str) -> tuple[Line, ...]:
    """The commands in a text: a log's RUNNING lines, else a script's, else arguments alone.

    Raises UsageError where there is none.
    """
    found = _in_log(text) or _in_script(text)
    if not found:
        raise UsageError(
            "there is no trtexec command in this",
            hint="give its arguments after --, a script that calls it, or a log with its "
            "'&&&& RUNNING' line",
        )
    return tuple(found)


def call_of(words: Sequence[str]) -> Call:
    """The call of some words: the program's name may come first.

    Raises UsageError for another program, options that trtexec never had, and variables.
    """
    backend = ""
    if words and not words[0].startswith("-"):
        name = PurePath(words[0]).name.removesuffix(".exe")
        if name not in PROGRAMS:
            raise UsageError(f"'{words[0]}' is not trtexec", hint="options begin with --")
        backend, words = PROGRAMS[name], words[1:]
    options = tuple(_given(words))
    if any(option.name in RTX_ONLY for option in options):
        backend = "tensorrt_rtx"
    return Call(options, backend or "tensorrt")


def _in_log(text: str) -> list[Line]:
    return [
        replace(line, major=_major(found["tags"]))
        for found in _RUNNING.finditer(text)
        for line in _commands(found["line"])
    ]


def _major(tags: str) -> int | None:
    """11 for "[TensorRT v110100] [b5]"."""
    found = _VERSION.search(tags)
    if found is None:
        return None
    number = int(found[1])
    return number // 10000 if number >= 100000 else number // 1000


def _in_script(text: str) -> list[Line]:
    if _BATCH.search(text):
        return _in_batch(text)
    joined = re.sub(r"\\\r?\n", " ", text)
    values = {name: value.strip("\"'") for name, value in _ASSIGNMENT.findall(joined)}
    joined = _DEFAULT.sub(lambda found: str(values.get(found["name"], found["value"])), joined)
    lines = (
        string.Template(line).safe_substitute(values)
        for line in joined.splitlines()
        if not line.lstrip().startswith("#")
    )
    return [line for text in lines for line in _commands(text)]


def _in_batch(text: str) -> list[Line]:
    """The commands of a script for Windows' cmd, whose backslashes separate folders."""
    joined = re.sub(r"\^\r?\n", " ", text).replace("\\", "/")
    values = {name.upper(): value.strip() for name, value in _SET.findall(joined)}
    joined = _PERCENT.sub(lambda found: values.get(found["name"].upper(), found[0]), joined)
    lines = joined.splitlines()
    return [
        line
        for text in lines
        if not text.lstrip("@ \t").lower().startswith(("rem ", "::"))
        for line in _commands(text)
    ]


def _commands(line: str) -> list[Line]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return []  # a line of a script that is no command of ours, such as half of a string
    found = [
        Line((word, *_until_end(words[index + 1 :])))
        for index, word in enumerate(words)
        if PurePath(word).name.removesuffix(".exe") in PROGRAMS
    ]
    if not found and words and words[0].startswith("--"):
        found.append(Line(tuple(_until_end(words))))
    return found


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
        if not word.startswith("-") and found and found[-1].value is None:
            before = found[-1].name
            raise UsageError(
                f"'{word}' stands alone", hint=f"if it is the value of {before}: {before}={word}"
            )
        if name not in BY_NAME:
            near = nearest(name, BY_NAME)
            unknown.append(f"'{name}'" + (f" (did you mean {near[0]}?)" if near else ""))
            continue
        # Of an option without a key, as the engine's file in a Makefile ($@), it is not used.
        if ("$" in value or _PERCENT.search(value)) and BY_NAME[name].key:
            raise UsageError(f"{word}: its variable has no value here", hint="write the value")
        found.append(Given(name, value if equals else None))
    if unknown:
        raise UsageError(
            f"trtexec has no option {', '.join(unknown)}",
            hint="options of TensorRT 7.2 to 11.1 and of TensorRT-RTX are known, as --name=value",
        )
    return found
