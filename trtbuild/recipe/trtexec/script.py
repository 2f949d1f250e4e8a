"""Reads a script in its order: its commands, with the value that each variable has at that line.

Shells of POSIX (and what is like them: Dockerfiles, Makefiles), Windows' cmd, and PowerShell.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class _Shell:
    """What differs between shells. `used` finds a variable: its `name`, and a `default`."""

    continued: re.Pattern[str]  # the end of a line that the next one belongs to
    comment: re.Pattern[str]
    assigned: re.Pattern[str]  # a whole command: `name`, `add` and `value`
    used: re.Pattern[str]
    windows: bool  # whether a backslash separates folders, and names have no case


_POSIX = _Shell(
    re.compile(r"\\$"),
    re.compile(r"\s*#"),
    # of make and of an older Dockerfile: what shells assign is found word by word
    re.compile(
        r"(?P<name>\w+)(?:\s+=|\s*[:?]+=|\s*(?P<add>\+)=\s)\s*(?P<value>.*)|ENV\s+(?!\w+=)"
        r"(?P<name2>\w+)\s+(?P<value2>.*)"
    ),
    re.compile(
        r"\$(?:\{(?P<name>\w+)(?:\[[@*]\])?(?::?[-=](?P<default>[^}]*))?\}|(?P<plain>[A-Za-z_]\w*)"
        r"|\((?P<make>\w+)\))"
    ),
    windows=False,
)
_CMD = _Shell(
    re.compile(r"\^$"),
    re.compile(r"[\s@]*(?:rem\b|::)", re.I),
    re.compile(r"@?set\s+(?:/a\s+)?\"?(?P<name>\w+)=(?P<value>[^\"]*)\"?", re.I),
    re.compile(r"%(?P<name>\w+)%|!(?P<plain>\w+)!"),
    windows=True,
)
_POWERSHELL = _Shell(
    re.compile(r"(?<=\s)`$"),
    re.compile(r"\s*#"),
    re.compile(r"\$(?:env:)?(?P<name>\w+)\s*(?P<add>\+)?=\s*(?P<value>.*)", re.I),
    re.compile(r"\$(?:env:)?(?:\{(?P<name>\w+)\}|(?P<plain>\w+))", re.I),
    windows=True,
)

_IS_POWERSHELL = re.compile(r"[^\S\n]`[^\S\n]*$|^\s*&\s+[\"'$]|^\s*\$[A-Za-z][\w:]*\s*=", re.M)
_IS_CMD = re.compile(r"\^$|^\s*@?echo off\b|^\s*@?set \"?\w+=|^\s*@?rem ", re.M | re.I)
_WINDOWS_PATH = re.compile(r"\b[A-Za-z]:\\|\.exe\b", re.I)
_SEPARATOR = re.compile(r"\\(?=[\w.])")
_PRINTED = "\0"
_WORD = re.compile(r"(?P<name>[A-Za-z_]\w*)(?P<add>\+?)=(?P<value>.*)", re.S)
_ASSIGNING = frozenset({"export", "local", "readonly", "declare", "typeset", "ENV", "ARG"})
_OPENING = re.compile(r"(?:(?:then|do|else|elif|if|while|until|time|!|\{|[-@]+)\s+|[@\t]+|\s+)+")
_CASE = re.compile(r"\(?[^\s()]+\)\s*")
_ARRAY = re.compile(r"(?P<name>\b[A-Za-z_]\w*\+?=)\((?P<items>[^()]*)\)")
LONGEST_ARRAY = 4000
"""Characters of an array over several lines: what goes on longer was none, but a part of a text."""
_ITEM_COMMENT = re.compile(r"(?:^|\s)#.*")
_QUOTED_ARRAY = re.compile(r"\"(\$\{\w+\[@\]\})\"")
DEEPEST = 16
"""How deep the output of commands is looked for in one another."""
_SUBSTITUTED = re.compile(r"\$\(([^()]*)\)")
_WHICH = re.compile(r"\$\((?:which|command -v|type -p)\s+([\w./-]+)\)")
_TELLING = re.compile(
    r"[=$%!]|trtexec|tensorrt_rtx|^\s*--|\b(?:if|fi|case|esac|for|read|unset)\b|ENV "
)
"""A line without any of these neither calls nor changes anything that is known here."""
_TOKEN = re.compile(
    r"(?P<comment>(?:(?<=\s)|^)#.*)|(?P<end>;;?|&&|\|\|?|(?<!>)&(?!>))"
    r"|\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|\$\([^()]*\)|`[^`]*`|[\w./=:,-]+|.",
    re.S,
)


@dataclass(slots=True)
class _State:
    """The variables so far, and for each block that may be passed by what it assigned."""

    shell: _Shell
    values: dict[str, str] = field(default_factory=dict)
    blocks: list[tuple[dict[str, str], dict[str, set[str]]]] = field(default_factory=list)

    def assign(self, name: str, value: str, add: str) -> None:
        name = self._key(name)
        if _PRINTED in value:
            self.values.pop(name, None)
            return
        old = self.values.get(name, "") if add else ""
        self.values[name] = old + value
        for _, assigned in self.blocks:
            assigned.setdefault(name, set()).add(old + value)

    def forget(self, name: str) -> None:
        self.values.pop(self._key(name), None)

    def expanded(self, text: str) -> str:
        return self.shell.used.sub(self._value, text)

    def leave(self) -> None:
        """After a block that may not have run, its variables have a value only if it is sure."""
        before, assigned = self.blocks.pop()
        for name, found in assigned.items():
            if len(found | {before.get(name, next(iter(found)))}) > 1:
                self.values.pop(name, None)

    def _value(self, found: re.Match[str]) -> str:
        groups = found.groupdict()
        name = groups["name"] or groups.get("plain") or groups.get("make") or ""
        default = groups.get("default")
        return self.values.get(
            self._key(name), found[0] if default is None else default.strip("\"'")
        )

    def _key(self, name: str) -> str:
        return name.upper() if self.shell.windows else name


def commands_in(text: str) -> Iterator[tuple[int, str]]:
    """The commands of a script: the number of the line that each begins in, and its text."""
    shell = _shell_of(text)
    state = _State(shell)
    for number, line in _joined(text, shell):
        if not _TELLING.search(line):
            continue
        for part in _parts(_readable(line, shell)):
            command = state.expanded(_opened(part, state))
            if command.strip() and not _kept(command.strip(), state):
                yield number, command
            for printed in _SUBSTITUTED.findall(command):
                yield from ((number, inner) for inner in _parts(printed))


def _shell_of(text: str) -> _Shell:
    if _IS_POWERSHELL.search(text.replace("\r", "")):
        return _POWERSHELL
    return _CMD if _IS_CMD.search(text.replace("\r", "")) else _POSIX


def _joined(text: str, shell: _Shell) -> Iterator[tuple[int, str]]:
    """Each line with those that continue it, or that its array goes on in."""
    parts: list[str] = []
    first, opened = 0, False
    for number, line in enumerate(text.splitlines(), 1):
        if shell.comment.match(line) and (not parts or opened):
            continue
        first = first or number
        part = _ITEM_COMMENT.sub("", line) if opened else line.rstrip()
        goes_on = shell.continued.search(part) is not None
        parts.append(shell.continued.sub(" ", part))
        if shell is _POSIX and (opened or "=(" in part):
            opened = _open_array("".join(parts))
        if opened:
            parts.append(" ")
        elif not goes_on:
            yield first, "".join(parts)
            parts, first = [], 0
    if parts:
        yield first, "".join(parts)


def _open_array(text: str) -> bool:
    return len(text) < LONGEST_ARRAY and re.search(r"\b\w+\+?=\([^()]*$", text) is not None


def _readable(line: str, shell: _Shell) -> str:
    """The line with / between folders, and an array as one text."""
    if shell.windows or _WINDOWS_PATH.search(line):
        line = line.replace("\\", "/")
    line = _QUOTED_ARRAY.sub(r"\1", _WHICH.sub(r"\1", _SEPARATOR.sub("/", line)))
    return _ARRAY.sub(lambda found: found["name"] + shlex.quote(found["items"]), line)


def _parts(line: str) -> Iterator[str]:
    """What stands between the operators of a line, without its comment."""
    part = ""
    for token in _TOKEN.finditer(line):
        if token["end"]:
            yield part
            part = ""
        elif not token["comment"]:
            part += token[0]
    yield part


def _opened(part: str, state: _State) -> str:
    """A command without the words that lead to it; blocks are counted by them."""
    text = part.strip()
    word = text.split(maxsplit=1)[0] if text else ""
    if word in ("if", "case"):
        state.blocks.append((dict(state.values), {}))
    if word == "case":
        text = text.partition(" in ")[2] if " in " in text else ""
    if word in ("fi", "esac") and state.blocks:
        state.leave()
    leading = _OPENING.match(text)
    text = text[leading.end() :] if leading else text
    clause = _CASE.match(text) if state.blocks else None
    return text[clause.end() :] if clause else text


def _kept(command: str, state: _State) -> bool:
    """Whether a command only gives variables their values, which are kept then."""
    if loop := re.match(r"(?:for|read|unset)\s+(?:-\w+\s+)*(\w+)", command):
        state.forget(loop[1])
        return True
    if found := state.shell.assigned.fullmatch(command):
        groups = found.groupdict()
        name = groups["name"] or groups.get("name2") or ""
        value = groups["value"] or groups.get("value2") or ""
        state.assign(name, _unquoted(_without_printed(value.strip())), groups.get("add") or "")
        return True
    if state.shell.windows:
        return False
    try:
        words = shlex.split(_without_printed(command))
    except ValueError:
        return False
    named = words[0] in _ASSIGNING if words else False
    words = [word for word in words if word not in _ASSIGNING and not (named and word[0] == "-")]
    pairs = [_WORD.fullmatch(word) for word in words]
    if not words or not (named or all(pairs)):
        return False
    for pair in pairs:
        if pair is not None:
            state.assign(pair["name"], pair["value"], pair["add"])
    return True


def _without_printed(command: str) -> str:
    """The command with a mark for what programs print, which nobody knows here."""
    for _ in range(DEEPEST):  # from the inside out
        command, count = re.subn(r"\$\([^()]*\)|`[^`]*`", _PRINTED, command)
        if not count:
            break
    return command


def _unquoted(text: str) -> str:
    quoted = re.fullmatch(r"([\"'])(.*)\1", text)
    return quoted[2] if quoted else text
