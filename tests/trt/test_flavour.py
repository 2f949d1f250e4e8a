"""Loading a backend, and asking what it can do."""

from __future__ import annotations

import importlib.util
import sys
from importlib.metadata import version
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from trtbuild.errors import MissingPackage, UsageError
from trtbuild.trt.flavour import Flavour, dtype_name, load_backend


def module_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A package called tensorrt, in place of a real one."""
    (folder / "tensorrt").mkdir()
    (folder / "tensorrt" / "__init__.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)


def test_rtx_is_loaded_with_kind_and_version(rtx: Flavour) -> None:
    assert (rtx.backend, rtx.kind) == ("tensorrt_rtx", "rtx")
    assert rtx.version == version("tensorrt-rtx")
    assert rtx.title == f"TensorRT-RTX {rtx.version}"


def test_features_are_found_by_attribute(rtx: Flavour) -> None:
    assert rtx.has("ComputeCapability.SM86")
    assert rtx.has("Builder")
    assert not rtx.has("IBuilderConfig.int8_calibrator")
    assert not rtx.has("NoSuchClass.member")


def test_every_type_of_tensorrt_has_the_name_of_a_real_dtype(rtx: Flavour) -> None:
    for member in rtx.module.DataType.__members__.values():
        name = dtype_name(member)
        assert hasattr(ml_dtypes, name) or np.dtype(name)


@pytest.mark.skipif(
    importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is installed here"
)
def test_a_backend_that_is_not_installed_is_named_with_the_line_that_installs_it() -> None:
    with pytest.raises(MissingPackage) as caught:
        load_backend("tensorrt")
    assert str(caught.value) == (
        "TensorRT is not installed: there is no Python module 'tensorrt'\n"
        "  hint: install it: pip install 'trtbuild[tensorrt]'"
    )


def test_a_backend_whose_libraries_are_missing_is_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module_on_path(
        tmp_path, monkeypatch, "import ctypes\nctypes.CDLL('libnvinfer_that_is_not_there.so.10')\n"
    )
    with pytest.raises(UsageError, match=r"cannot be imported: libnvinfer_that_is_not_there") as e:
        load_backend("tensorrt")
    assert "pip install 'trtbuild[tensorrt]'" in e.value.hint


def test_a_backend_that_lacks_a_dependency_is_called_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module_on_path(tmp_path, monkeypatch, "import tensorrt_bindings_that_are_not_there\n")
    with pytest.raises(UsageError, match="tensorrt_bindings_that_are_not_there") as caught:
        load_backend("tensorrt")
    assert not isinstance(caught.value, MissingPackage)


def test_a_folder_that_is_called_like_a_backend_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    with pytest.raises(UsageError, match="the module holds no Builder"):
        load_backend("tensorrt")


@pytest.mark.parametrize(
    ("members", "kind"), [("platform_has_tf32 = True", "tensorrt10"), ("pass", "tensorrt11")]
)
def test_tensorrt_10_and_11_are_told_apart_by_their_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, members: str, kind: str
) -> None:
    module_on_path(tmp_path, monkeypatch, f"__version__ = '1.2'\nclass Builder:\n    {members}\n")
    assert load_backend("tensorrt").kind == kind


def test_an_unknown_backend_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError) as caught:
        load_backend("tensorflow")
    assert str(caught.value) == (
        "'tensorflow' is no backend\n  hint: choose one of tensorrt, tensorrt_rtx"
    )
