"""Finds and calls the user's Python: "file.py:function" and "package.module:callable"."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
import sysconfig
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from trtbuild.errors import StageError, TrtbuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

T = TypeVar("T")

_OWN = f"{Path(__file__).resolve().parents[1]}{os.sep}"
_SITE_PACKAGES = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib")})


def load_callable(reference: str, folder: Path) -> Callable[..., Any]:
    """The callable that a recipe in `folder` refers to.

    A file is imported as Python runs a script: modules beside it, and below the recipe's folder,
    can be imported. Raises StageError with file:line of the user's code.
    """
    file, _, name = reference.rpartition(":")
    if not file or not name:
        raise StageError(
            f"'{reference}' is no reference to a callable",
            hint='write "file.py:function" or "package.module:callable"',
        )
    if file.endswith(".py"):
        _search((folder / file).parent, folder)
        module = _import_file(reference, folder / file)
    else:
        _search(folder)
        module = _import(reference)
    return _attribute(module, name, reference)


def call_user(function: Callable[..., T], reference: str, *args: Any, **kwargs: Any) -> T:
    """Call the user's function; what it raises becomes a StageError with the user's file:line."""
    with user_code(reference, function):
        return function(*args, **kwargs)


def iterate_user(items: Iterable[T], reference: str) -> Iterator[T]:
    """The items of a user's generator; what it raises becomes a StageError as in call_user."""
    with user_code(reference):
        iterator = iter(items)
    end = object()
    while True:
        with user_code(reference):
            item: Any = next(iterator, end)
        if item is end:
            return
        yield item


@contextmanager
def user_code(reference: str, function: Callable[..., Any] | None = None) -> Iterator[None]:
    """Turn what the user's code raises in this block into a StageError."""
    try:
        yield
    except (KeyboardInterrupt, MemoryError, TrtbuildError):
        raise
    except BaseException as error:  # the edge to foreign code: sys.exit() must not end the stage
        raise StageError(
            f"{reference} raised {_described(error)}",
            where=_place(error) or _definition(function),
            hint="the whole traceback is in the log",
        ) from error


def _search(*folders: Path) -> None:
    """Let modules in folders be imported: before installed packages, as a script's are.

    But after the standard library, or a user's random.py would break the import of torch.
    """
    place = next((n for n, path in enumerate(sys.path) if path in _SITE_PACKAGES), len(sys.path))
    sys.path[place:place] = [str(folder) for folder in folders if str(folder) not in sys.path]
    importlib.invalidate_caches()  # it has listed them before, perhaps


def _import_file(reference: str, path: Path) -> ModuleType:
    if not path.is_file():
        raise StageError(
            f"'{reference}' refers to a file that does not exist",
            where=str(path),
            hint="paths are relative to the recipe's folder",
        )
    name = _module_name(path)
    loaded = sys.modules.get(name)
    if loaded is not None and loaded.__spec__ and _is_file(loaded.__spec__.origin, path):
        return loaded
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # noqa: S101 - every .py file has a loader
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with user_code(f"importing {path.name}"):
            spec.loader.exec_module(module)
    except StageError as error:
        del sys.modules[name]
        if _imports_by_a_dot(error):
            error.hint = f"as a part of its package it may: write '{_as_module(reference)}'"
        raise
    return module


def _imports_by_a_dot(error: StageError) -> bool:
    """Whether a file was refused an import that only a package's module can do."""
    cause = error.__cause__
    return isinstance(cause, ImportError) and "relative import" in str(cause)


def _as_module(reference: str) -> str:
    """nets.fusion:build for nets/fusion.py:build."""
    file, _, name = reference.rpartition(":")
    return f"{'.'.join(Path(file).with_suffix('').parts)}:{name}"


def _module_name(path: Path) -> str:
    """The file's own name, as an import from beside it would say, unless that is taken."""
    name = path.stem
    if name.isidentifier() and name not in sys.stdlib_module_names:
        loaded = sys.modules.get(name)
        spec = loaded.__spec__ if loaded else importlib.util.find_spec(name)
        if spec is not None and _is_file(spec.origin, path):
            return name
    return f"recipe_{''.join(c if c.isalnum() else '_' for c in name)}"


def _is_file(found: str | None, path: Path) -> bool:
    return found is not None and Path(found).resolve() == path.resolve()


def _import(reference: str) -> ModuleType:
    name = reference.rpartition(":")[0]
    try:
        with user_code(f"importing {name}"):
            return importlib.import_module(name)
    except StageError as error:
        missing = error.__cause__
        if isinstance(missing, ModuleNotFoundError) and _is_part(missing.name, name):
            raise StageError(
                f"'{reference}': there is no module '{missing.name}'",
                hint="install its package, or write the path of a file ending in .py",
            ) from missing
        raise


def _is_part(missing: str | None, name: str) -> bool:
    return missing is not None and f"{name}.".startswith(f"{missing}.")


def _attribute(module: ModuleType, name: str, reference: str) -> Callable[..., Any]:
    where = module.__file__ or ""
    try:
        with user_code(reference):
            found = functools.reduce(getattr, name.split("."), module)
    except StageError as error:
        raise StageError(
            f"'{reference}': there is no '{name}' in {module.__name__}",
            where=where,
            hint=_near(name, module),
        ) from error
    if not callable(found):
        raise StageError(
            f"'{reference}' is a {type(found).__name__}, which cannot be called",
            where=where,
            hint="refer to a function or a class",
        )
    return found


def _near(name: str, module: ModuleType) -> str:
    from difflib import get_close_matches

    public = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
    near = get_close_matches(name, public, n=1)
    return f"did you mean '{near[0]}'?" if near else "check the name after the colon"


def _described(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place(error: BaseException) -> str:
    """file:line of the last frame in the user's own code; installed packages are not theirs."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<", _OWN))
    ]
    users = [frame for frame in frames if not _installed(frame.filename)]
    chosen = users or frames
    return f"{chosen[-1].filename}:{chosen[-1].lineno}" if chosen else ""


def _installed(filename: str) -> bool:
    return filename.startswith(_INSTALLED) or "site-packages" in Path(filename).parts


def _definition(function: Callable[..., Any] | None) -> str:
    """file:line where a function or class begins; for a call that does not fit its parameters."""
    import inspect

    try:
        target = inspect.unwrap(function) if function else None
        lines = inspect.getsourcelines(target) if target else ([], 0)
        file = inspect.getsourcefile(target) if target else None
    except (OSError, TypeError):  # built in, or made by partial: there is no source
        return ""
    return f"{file}:{lines[1]}" if file else ""
