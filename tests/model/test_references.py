"""References to the user's Python: finding it, calling it, and what its errors say."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtbuild.errors import StageError
from trtbuild.model.references import call_user, iterate_user, load_callable

Write = Callable[[str, str], Path]


def loaded_error(reference: str, folder: Path) -> StageError:
    with pytest.raises(StageError) as error:
        load_callable(reference, folder)
    return error.value


def called_error(function: Callable[..., Any], *args: Any, **kwargs: Any) -> StageError:
    with pytest.raises(StageError) as error:
        call_user(function, "code.py:f", *args, **kwargs)
    return error.value


def test_a_file_may_import_what_lies_beside_it_and_below_the_recipe(
    user_file: Write, tmp_path: Path
) -> None:
    user_file("models/beside_it.py", "WIDTH = 3\n")
    user_file("below.py", "DEPTH = 4\n")
    user_file(
        "models/net_a.py",
        "import beside_it\nfrom below import DEPTH\ndef f(): return beside_it.WIDTH, DEPTH\n",
    )
    function = load_callable("models/net_a.py:f", tmp_path)
    assert call_user(function, "models/net_a.py:f") == (3, 4)


def test_a_file_of_a_package_is_told_how_its_imports_by_a_dot_work(
    user_file: Write, tmp_path: Path
) -> None:
    user_file("nets_p/blocks.py", "WIDTH = 3\n")
    user_file("nets_p/fusion.py", "from .blocks import WIDTH\ndef build(): return WIDTH\n")
    error = loaded_error("nets_p/fusion.py:build", tmp_path)
    assert "attempted relative import" in error.what
    assert "write 'nets_p.fusion:build'" in error.hint
    assert load_callable("nets_p.fusion:build", tmp_path)() == 3


def test_a_file_keeps_its_own_name_as_a_module(user_file: Write, tmp_path: Path) -> None:
    user_file("net_b.py", "class Net: pass\n")
    user_file("uses_b.py", "import net_b\ndef f(x): return isinstance(x, net_b.Net)\n")
    made = call_user(load_callable("net_b.py:Net", tmp_path), "net_b.py:Net")
    assert type(made).__module__ == "net_b"
    assert call_user(load_callable("uses_b.py:f", tmp_path), "uses_b.py:f", made)


def test_a_file_named_like_a_standard_module_does_not_replace_it(
    user_file: Write, tmp_path: Path
) -> None:
    user_file("random.py", "def f(): return 'mine'\n")
    assert call_user(load_callable("random.py:f", tmp_path), "random.py:f") == "mine"
    import random as again

    assert again is random
    assert hasattr(again, "Random")


def test_files_of_one_name_in_two_folders_are_two_modules(user_file: Write, tmp_path: Path) -> None:
    user_file("data/page_c.py", "def f(): return 'data'\n")
    user_file("metrics/page_c.py", "def f(): return 'metrics'\n")
    found = [load_callable(f"{folder}/page_c.py:f", tmp_path)() for folder in ("data", "metrics")]
    assert found == ["data", "metrics"]


def test_an_installed_module_is_found() -> None:
    assert load_callable("os.path:join", Path())("a", "b") == "a/b"


def test_nested_names_are_found(user_file: Write, tmp_path: Path) -> None:
    user_file("nested.py", "class A:\n    @classmethod\n    def make(cls): return cls\n")
    assert load_callable("nested.py:A.make", tmp_path)().__name__ == "A"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = loaded_error("none.py:f", tmp_path)
    assert error.what == "'none.py:f' refers to a file that does not exist"
    assert error.where == str(tmp_path / "none.py")


def test_a_missing_module_is_named() -> None:
    assert loaded_error("nowhere.at.all:f", Path()).what == (
        "'nowhere.at.all:f': there is no module 'nowhere'"
    )


def test_a_reference_without_a_name_is_refused() -> None:
    assert "no reference to a callable" in loaded_error("net.py", Path()).what


def test_a_missing_name_is_answered_with_one_that_is_near(user_file: Write, tmp_path: Path) -> None:
    user_file("names.py", "class DigitsNet: pass\n")
    error = loaded_error("names.py:DigitNet", tmp_path)
    assert "there is no 'DigitNet' in names" in error.what
    assert error.hint == "did you mean 'DigitsNet'?"


def test_what_cannot_be_called_is_refused(user_file: Write, tmp_path: Path) -> None:
    user_file("value.py", "f = 3\n")
    assert "is a int, which cannot be called" in loaded_error("value.py:f", tmp_path).what


def test_an_error_at_import_has_the_users_line(user_file: Write, tmp_path: Path) -> None:
    path = user_file("broken.py", "x = 1\ny = x / 0\n")
    error = loaded_error("broken.py:f", tmp_path)
    assert error.what == "importing broken.py raised ZeroDivisionError: division by zero"
    assert error.where == f"{path}:2"


def test_a_syntax_error_has_its_line(user_file: Write, tmp_path: Path) -> None:
    path = user_file("syntax.py", "x = 1\ndef f(:\n")
    error = loaded_error("syntax.py:f", tmp_path)
    assert error.what == "importing syntax.py raised SyntaxError: invalid syntax"
    assert error.where == f"{path}:2"


def test_a_helper_that_is_missing_is_named_with_the_line_that_wants_it(
    user_file: Write, tmp_path: Path
) -> None:
    path = user_file("wants.py", "\nimport not_there\n")
    error = loaded_error("wants.py:f", tmp_path)
    assert "ModuleNotFoundError: No module named 'not_there'" in error.what
    assert error.where == f"{path}:2"


def test_a_file_that_failed_can_be_loaded_when_it_is_mended(
    user_file: Write, tmp_path: Path
) -> None:
    user_file("mended.py", "raise ValueError\n")
    assert loaded_error("mended.py:f", tmp_path).what == "importing mended.py raised ValueError"
    user_file("mended.py", "def f(): return 1\n")
    assert load_callable("mended.py:f", tmp_path)() == 1


def test_an_error_inside_a_library_has_the_last_line_of_the_user(
    user_file: Write, tmp_path: Path
) -> None:
    path = user_file("calls.py", "import json\ndef f(text):\n    return json.loads(text)\n")
    error = called_error(load_callable("calls.py:f", tmp_path), "{")
    assert error.where == f"{path}:3"
    assert error.what.startswith("code.py:f raised JSONDecodeError: Expecting property name")


def test_arguments_that_do_not_fit_have_the_line_of_the_definition(
    user_file: Write, tmp_path: Path
) -> None:
    path = user_file("definition.py", "\n\nclass Net:\n    def __init__(self, width): pass\n")
    error = called_error(load_callable("definition.py:Net", tmp_path), widht=3)
    assert error.where == f"{path}:3"
    assert "unexpected keyword argument 'widht'" in error.what


def test_a_call_of_exit_does_not_end_the_process() -> None:
    def leave() -> None:
        raise SystemExit(3)

    assert called_error(leave).what == "code.py:f raised SystemExit: 3"


def test_an_interrupt_is_passed_on() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call_user(interrupted, "code.py:f")


def test_an_error_in_a_generator_has_its_line(user_file: Write, tmp_path: Path) -> None:
    path = user_file("generator.py", "def f():\n    yield 1\n    raise ValueError('two')\n")
    items = iterate_user(load_callable("generator.py:f", tmp_path)(), "generator.py:f")
    assert next(items) == 1
    with pytest.raises(StageError, match=r"generator.py:f raised ValueError: two") as error:
        next(items)
    assert error.value.where == f"{path}:3"
