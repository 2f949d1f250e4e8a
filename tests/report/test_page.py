"""The page of a run: what it shows, that it stands alone, and that it takes nothing as markup."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.graph import measured
from tests.project import RECIPE, Project
from trtbuild.report.page import write_page

BENCHMARK = RECIPE + "benchmark: {duration: 1s}\n"
HOSTILE = "<script>alert(1)</script>"


class Page(HTMLParser):
    """The words of a page, its tags, and what it would load from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("br",):
            while self.open and self.open.pop() == "br":
                continue

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(word for word in self.words if word)


def test_a_run_becomes_a_page_that_stands_alone(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny(RECIPE.replace("[fp32]", "[fp32, fp16]"))
    result = project.trtbuild("run", "tiny.yaml", "--html", "out/page.html")
    assert result.code == 0, result.err
    page = Page((project.folder / "out/page.html").read_text())
    for text in ("tiny passed tiny.yaml", "fp32", "fp16", "never built here", "quantize", "SNR"):
        assert text in page.text
    assert page.links == []
    assert not page.tags & {"script", "link", "img", "iframe"}
    assert page.open == []
    again = project.trtbuild("run", "tiny.yaml", "--html", "out/page.html")
    assert again.code == 0, again.err
    assert "UP_TO_DATE" in (project.folder / "out/page.html").read_text()


def test_names_and_messages_are_no_markup(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    project.write("hooks.py", f"def fail(graph):\n    raise ValueError({HOSTILE!r})\n")
    project.replace("tiny.yaml", "  - op: fold_constants", '  - hook: "hooks.py:fail"')
    result = project.trtbuild("run", "tiny.yaml", "--html", "page.html")
    assert result.code == 1
    text = (project.folder / "page.html").read_text()
    page = Page(text)
    assert "script" not in page.tags
    assert HOSTILE in page.text
    assert "tiny failed" in page.text


def test_what_was_measured_is_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured.pretend_a_gpu(monkeypatch)
    project = Project(tmp_path).tiny(BENCHMARK)
    recipe = project.folder / "tiny.yaml"
    _, rebuilder, _ = measured.run(recipe, project.cache, measured.Executor())
    write_page(tmp_path / "page.html", [rebuilder])
    page = Page((tmp_path / "page.html").read_text())
    assert "Benchmark on NVIDIA Test" in page.text
    assert "gpu_compute 1 1.05" in page.text  # least and median, in ms


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    project.write("taken", "")
    result = project.trtbuild("run", "tiny.yaml", "--html", "taken/page.html")
    assert result.code == 1
    assert "taken/page.html: cannot be written" in result.err


def test_without_jinja2_nothing_runs_and_the_line_to_install_it_is_given(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    code = "import sys; sys.modules['jinja2'] = None; import trtbuild.cli as c; c.entry_point()"
    command = project.command("run", "tiny.yaml", "--html", "page.html")[3:]
    result = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=project.folder, capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "pip install 'trtbuild[report]'" in result.stderr
    assert not (project.folder / "build").exists()
