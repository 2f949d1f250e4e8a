"""Sees what native code opens by itself: loaders of other libraries, wrapped as they are imported.

Nothing is imported for it: a module that is never imported is never touched.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

Note = Callable[[Any], None]


class Loaders(importlib.abc.MetaPathFinder):
    """Stands before the finders of modules, and has theirs wrap what it knows.

    `note` is told of paths that are about to be read. `unseen` are functions of a watch that
    torch's tracer would stop at.
    """

    def __init__(self, note: Note, unseen: Iterable[Callable[..., Any]] = ()) -> None:
        self._note = note
        self._unseen = set(unseen)
        self._busy: set[str] = set()

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _: ModuleType | None = None, /
    ) -> importlib.machinery.ModuleSpec | None:
        """None, but for a module with a loader of files: that one is wrapped once it is there."""
        if fullname in self._busy or (fullname not in WRAPPED and fullname != TRACER):
            return None
        self._busy.add(fullname)
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy.discard(fullname)
        if spec is not None and spec.loader is not None:
            _then(spec.loader, self._wrap)
        return spec

    def _wrap(self, module: ModuleType) -> None:
        if module.__name__ == TRACER:
            _leave_out(module, self._unseen)
        else:
            WRAPPED[module.__name__](module, self._note)


def _then(loader: Any, done: Callable[[ModuleType], None]) -> None:
    """Have something done with a module when it has been executed."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        with contextlib.suppress(AttributeError):  # of another version, which has no such loader
            done(module)

    loader.exec_module = exec_module


def _safetensors(module: Any, note: Note) -> None:
    original = module.safe_open

    class Opening(type):
        """Makes what the original makes: a class of native code has no subclasses."""

        def __call__(cls, filename: Any, *args: Any, **options: Any) -> Any:
            note(filename)
            return original(filename, *args, **options)

        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, original)

    module.safe_open = Opening("safe_open", (), {"__doc__": original.__doc__})


def _torchscript(module: Any, note: Note) -> None:
    module.load = _telling(module.load, note, 0)


def _exported_program(module: Any, note: Note) -> None:
    reader = module.PT2ArchiveReader
    reader.__init__ = _telling(reader.__init__, note, 1)


def _onnxruntime(module: Any, note: Note) -> None:
    def note_all(path: Any) -> None:
        for file in (path, *_external(Path(path))):
            note(file)

    session = module.InferenceSession
    session.__init__ = _telling(session.__init__, note_all, 1)


def _leave_out(module: Any, unseen: set[Callable[..., Any]]) -> None:
    module.ignore_logging_functions = module.ignore_logging_functions | unseen


def _telling(function: Any, note: Note, position: int) -> Any:
    """The function, which tells of its argument at a position where that is a path."""
    name = list(inspect.signature(function).parameters)[position]

    @functools.wraps(function)
    def telling(*arguments: Any, **options: Any) -> Any:
        path = arguments[position] if len(arguments) > position else options.get(name)
        if isinstance(path, (str, os.PathLike)):
            note(path)
        return function(*arguments, **options)

    return telling


def _external(model: Path) -> list[Path]:
    """The files beside a model that hold its weights."""
    from trtbuild.errors import TrtbuildError
    from trtbuild.model.onnx_file import external_files

    try:
        return [model.parent / name for name in external_files(model)]
    except (TrtbuildError, OSError):
        return []  # the session says what is wrong with it


TRACER = "torch._dynamo.config"
"""What has the settings of torch's tracer."""

WRAPPED: dict[str, Callable[[Any, Note], None]] = {
    "safetensors": _safetensors,
    "torch.jit._serialization": _torchscript,
    "torch.export.pt2_archive._package": _exported_program,
    "onnxruntime.capi.onnxruntime_inference_collection": _onnxruntime,
}
"""Modules whose loaders are wrapped, by name."""
