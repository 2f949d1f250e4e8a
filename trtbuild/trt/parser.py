"""Parses an ONNX file into a network, and shows all that the parser refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.recipe.build_table import present
from trtbuild.trt.errors import OPERATOR_REMEDY, PARSER_CAUSES, explain
from trtbuild.trt.plugins import NONE, Plugins, load_plugins
from trtbuild.trt.settings import Settings, check_taken, require

if TYPE_CHECKING:
    from pathlib import Path

    from trtbuild.trt.logger import Log

NOTHING: Settings = {}

_REPEATED = re.compile(r"^ModelImporter\.cpp:\d+: (While parsing node|--- |ERROR: )|^In node -?\d")
"""Log lines that only say again what a parser error says."""

_MAKES = re.compile(r'While parsing node number (\d+) \[(\w+) -> "(.+)"\]:')
"""Of a node, in the log: its number, operator and first output, which stand in for a name."""

_FILE_CODES = ("MODEL_DESERIALIZE_FAILED", "INVALID_GRAPH", "INVALID_VALUE")
"""What the parser answers for a file that is cut off, missing or without its weights."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A network with what must outlive it: the parser owns weights that the network refers to."""

    builder: Any
    network: Any
    parser: Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that the parser refuses; `operator` is "" where it is no node."""

    operator: str
    node: str
    reason: str
    remedy: str


def parse_onnx(
    log: Log, path: Path, settings: Settings = NOTHING, plugins: Plugins = NONE
) -> Parsed:
    """A strongly typed network from an ONNX file, its external data beside it.

    `settings` are the build's, of which the parser's flags are taken; `plugins` are loaded
    before. Raises StageError with every refusal of the parser, by operator and with node names,
    or with what is wrong with the file.
    """
    builder = log.create("Builder")
    load_plugins(log, builder, plugins)
    # Always so in TensorRT 11 and RTX; in 10 it must be asked for. The flag's integer differs.
    strongly_typed = log.flavour.module.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    network = builder.create_network(1 << int(strongly_typed))
    parser = log.create("OnnxParser", network)
    _set_flags(log, parser, settings)
    if not parser.parse_from_file(str(path)):
        raise _refused(log, parser, path)
    if network.num_outputs == 0:
        raise _nothing_in(path)
    return Parsed(builder, network, parser)


def _set_flags(log: Log, parser: Any, settings: Settings) -> None:
    for row, value in present(settings):
        if row.kind != "parser":
            continue
        require(log.flavour, row)
        flag = getattr(log.flavour.module.OnnxParserFlag, row.member)
        (parser.set_flag if value else parser.clear_flag)(flag)
        check_taken(log.flavour, row, value, bool(parser.get_flag(flag)))


def _refused(log: Log, parser: Any, path: Path) -> StageError:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    if any(error.node() < 0 and error.code().name in _FILE_CODES for error in errors):
        _check_file(path)
    made = {found.groups()[:2]: found[3] for found in map(_MAKES.search, log.errors) if found}
    refusals = tuple(dict.fromkeys(_refusal(error, made, path) for error in errors))
    told = "".join(f"\n  {line}" for line in (*_grouped(refusals), *_further(log, errors)))
    nodes = len({(item.operator, item.node) for item in refusals if item.operator})
    count = f"{nodes} node{'s' if nodes > 1 else ''} of the model" if nodes else "the model"
    return StageError(
        f"the ONNX parser of {log.flavour.title} refuses {count}:{told}",
        hint="; ".join(dict.fromkeys(item.remedy for item in refusals)) or OPERATOR_REMEDY,
    )


def _refusal(error: Any, made: dict[tuple[str, ...], str], path: Path) -> Refusal:
    text = error.desc()
    explanation = explain(text, PARSER_CAUSES)
    reason = explanation.meaning if explanation else _readable(text)
    remedy = explanation.remedy if explanation else OPERATOR_REMEDY
    place = _node(error, made) if error.node() >= 0 else _no_node(error, path)
    return Refusal(error.node_operator(), place, reason, remedy)


def _node(error: Any, made: dict[tuple[str, ...], str]) -> str:
    """A node's name, or what it makes, with the nodes and branches around it."""
    number, around = str(error.node()), error.local_function_stack()
    name = f"node number {number}"
    if error.node_name():
        name = f"'{error.node_name()}'"
    elif (number, error.node_operator()) in made:
        name = f"the one that makes '{made[number, error.node_operator()]}'"
    return f"{name} in {', '.join(around)}" if around else name


def _no_node(error: Any, path: Path) -> str:
    """An input with its type, or the model; the parser gives an input's name as the file."""
    if error.func() != "importInput":
        return "as a whole"
    import onnx

    from trtbuild.model import onnx_file

    model = onnx.load(str(path), load_external_data=False)
    types = {item.name: item.dtype for item in onnx_file.input_types(model)}
    return f"input '{error.file()}' ({types.get(error.file(), 'of an unknown type')})"


def _readable(text: str) -> str:
    """What a message says, without C++ conditions, error classes and places in their source."""
    lines = (line for line in text.splitlines() if "catchCudaError" not in line)
    text = " ".join(line for line in lines if not line.startswith("Invalid Node - ")) or text
    text = re.sub(r"\s*In \w+ at \S+:\d+", "", text)
    for wrapping in (
        r'&& "(.+)"$',  # (condition) && "text"
        r"^Assertion failed: .*?: (.+)$",
        r"Error Code \d+: [\w ]+ \((.+)\)$",
    ):
        found = re.search(wrapping, text)
        text = found.group(1) if found else text
    return text.strip()


def _grouped(refusals: tuple[Refusal, ...]) -> list[str]:
    """A line for each operator and reason: `MaxPool (2 nodes: 'a', 'b'): no dilations`."""
    groups: dict[tuple[str, str], dict[str, None]] = {}
    for item in refusals:
        groups.setdefault((item.operator, item.reason), {})[item.node] = None
    lines = []
    for (operator, reason), places in groups.items():
        names = ", ".join(places)
        if operator:
            count = f"{len(places)} node" + ("s" if len(places) > 1 else "")
            names = f"{operator} ({count}: {names})"
        lines.append(f"{names}: {reason}")
    return lines


def _further(log: Log, errors: list[Any]) -> list[str]:
    """ERROR lines of the log that tell more than the parser's errors do."""
    told = "\n".join(error.desc() for error in errors)
    return [text for text in log.errors if not _REPEATED.match(text) and text not in told]


def _nothing_in(path: Path) -> StageError:
    """Bytes that are no ONNX can parse, as a model of nothing but unknown fields."""
    _check_file(path)
    return StageError(
        "the model has no outputs",
        where=path.name,
        hint="name the tensors to keep: surgery {op: set_outputs, outputs: [...]}",
    )


def _check_file(path: Path) -> None:
    """Raise StageError where the file itself is at fault."""
    from trtbuild.model.onnx_file import load_model

    load_model(path)
