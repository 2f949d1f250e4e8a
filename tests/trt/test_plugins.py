"""Libraries of plugins: loaded before the model is parsed, refused with what the loader says."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from trtbuild.errors import StageError
from trtbuild.trt.flavour import Flavour
from trtbuild.trt.logger import recording
from trtbuild.trt.plugins import NONE, Plugins, load_plugins, plugins_of, serialize_plugins

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")


def library(folder: Path, code: str = "int loaded(void) { return 42; }") -> Path:
    source = folder / "plugin.c"
    source.write_text(code)
    made = folder / "libplugin.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", made, source], check=True)
    return made


def refusal(rtx: Flavour, plugins: Plugins) -> StageError:
    with recording(rtx) as log, pytest.raises(StageError) as caught:
        load_plugins(log, log.create("Builder"), plugins)
    return caught.value


@needs_compiler
def test_a_static_library_is_loaded_into_the_process(rtx: Flavour, tmp_path: Path) -> None:
    made = library(tmp_path)
    with recording(rtx) as log:
        load_plugins(log, log.create("Builder"), Plugins(static=(made,)))
    assert ctypes.CDLL(None).loaded() == 42  # its symbols are there for libraries that follow


@needs_compiler
def test_a_library_that_lacks_another_is_told_by_name(rtx: Flavour, tmp_path: Path) -> None:
    made = library(
        tmp_path, "int nowhere_to_be_found(void); int f(void) { return nowhere_to_be_found(); }"
    )
    made.write_bytes(made.read_bytes()[:200])
    error = refusal(rtx, Plugins(static=(made,)))
    assert "the plugin library cannot be loaded" in error.what
    assert error.where == str(made)
    assert "ldd" in error.hint


def test_what_the_registry_says_of_a_library_is_told(rtx: Flavour, tmp_path: Path) -> None:
    error = refusal(rtx, Plugins(dynamic=(tmp_path / "libnone.so",)))
    assert "cannot open shared object file" in error.what


def test_libraries_to_be_stored_are_given_to_tensorrt(rtx: Flavour, tmp_path: Path) -> None:
    paths = (tmp_path / "b.so", tmp_path / "a.so")
    with recording(rtx) as log:
        builder = log.create("Builder")
        config = builder.create_builder_config()
        serialize_plugins(config, Plugins(serialize=paths))
        assert set(config.plugins_to_serialize) == {str(path) for path in paths}


def test_roles_of_inputs_name_the_libraries_in_the_order_of_the_recipe() -> None:
    roles = {f"plugins/dynamic/{index}": Path(f"{index}.so") for index in reversed(range(12))}
    found = plugins_of({**roles, "model": Path("m.onnx"), "plugins/static/0": Path("s.so")})
    assert found.static == (Path("s.so"),)
    assert [path.name for path in found.dynamic] == [f"{index}.so" for index in range(12)]
    assert found.serialize == ()
    assert plugins_of({"model": Path("m.onnx")}) == NONE


def test_a_runtime_loads_the_libraries_that_an_engine_needs(rtx: Flavour, tmp_path: Path) -> None:
    made = tmp_path / "lib.so"
    made.write_bytes(b"no library")
    with recording(rtx) as log:
        for plugins in (Plugins(static=(made,)), Plugins(dynamic=(made,))):
            try:
                runtime = log.create("Runtime")
            except StageError:
                pytest.skip("TensorRT-RTX makes no runtime without a GPU")
            with pytest.raises(StageError, match=r"plugin library cannot be loaded"):
                load_plugins(log, runtime, plugins)
