"""A run as one HTML page that holds everything it shows: to attach to a CI run or a release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trtbuild
from trtbuild.errors import MissingPackage, StoreError
from trtbuild.graph.action import Verdict
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.report.gates import gate_documents
from trtbuild.report.summary import in_order, result_of, summarise
from trtbuild.report.terminal import size_text
from trtbuild.store.files import write_file

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE = "page.html.jinja"
LAYERS = 15
"""The slowest layers, and the tensors that lose most, are shown up to so many."""

RESULTS = (("build", "build.json"), ("verify", "verify.json"), ("benchmark", "benchmark.json"))


def template() -> Template:
    """The page's template. Raises MissingPackage without Jinja2."""
    try:
        import jinja2
    except ImportError as error:
        raise MissingPackage(
            "a report in HTML needs Jinja2", hint="pip install 'trtbuild[report]'"
        ) from error
    # What a page shows comes from models and recipes, so everything is escaped.
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.ChainableUndefined,  # a stage that failed wrote only what it came to
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["size"] = size_text
    environment.filters["number"] = _number
    return environment.get_template(TEMPLATE)


def write_page(path: Path, rebuilders: Sequence[Rebuilder]) -> None:
    """Write the page of a run. Raises MissingPackage, StoreError."""
    text = template().render(
        version=trtbuild.__version__,
        recipes=[_recipe(rebuilder) for rebuilder in rebuilders],
        most=LAYERS,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(path)) from error
    # A path whose bytes are no UTF-8 has lone surrogates, which UTF-8 cannot hold.
    write_file(path, text.encode(errors="replace"))


def _recipe(rebuilder: Rebuilder) -> dict[str, Any]:
    outcomes = in_order(rebuilder)
    gates = gate_documents(rebuilder)
    failed = any(outcome.verdict is Verdict.FAILED for outcome in outcomes)
    variants = summarise(rebuilder)
    return {
        "name": rebuilder.recipe.name,
        "path": rebuilder.recipe.path,
        "failed": failed or any(gate["outcome"] == "failed" for gate in gates),
        "outcomes": outcomes,
        "gates": gates,
        "best": rebuilder.choice.text if rebuilder.choice else "",
        "variants": variants,
        "largest_engine": max((variant.engine_bytes for variant in variants), default=0),
        "slowest": max((variant.latency_ms or 0 for variant in variants), default=0),
        "results": {variant.name: _results(rebuilder, variant.name) for variant in variants},
    }


def _results(rebuilder: Rebuilder, variant: str) -> dict[str, Any]:
    """What the stages of a variant wrote, by stage; {} where one did not run."""
    return {
        stage: result_of(rebuilder, rebuilder.outcomes.get(f"{stage}:{variant}"), file)
        for stage, file in RESULTS
    }


def _number(value: object, digits: int = 4) -> str:
    """A number of so many significant digits; nothing where there is none."""
    return f"{value:.{digits}g}" if isinstance(value, int | float) else ""
