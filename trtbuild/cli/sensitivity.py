"""Measure what each node's low precision costs, and which few to keep in fp32."""

from __future__ import annotations

import argparse
from pathlib import Path

from trtbuild.cli import numbers
from trtbuild.cli.common import add_json, add_places, add_remote, open_store
from trtbuild.cli.settings import resolve
from trtbuild.errors import ExitCode
from trtbuild.graph.select import Settings
from trtbuild.graph.sensitivity import Search, measure, with_precision
from trtbuild.graph.session import Session
from trtbuild.recipe.load import load_recipes
from trtbuild.report.document import print_json, run_document
from trtbuild.report.sensitivity import print_sensitivity
from trtbuild.report.terminal import Quiet, Terminal, print_outcomes

SECONDS = 120.0
CASES = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild sensitivity` takes."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a recipe file")
    parser.add_argument(
        "--precision",
        required=True,
        metavar="P",
        help="fp16, bf16, int8, fp8 or int4; with its defaults where the recipe does not have it",
    )
    parser.add_argument(
        "--seconds",
        type=numbers.seconds,
        default=SECONDS,
        metavar="S",
        help="how long to measure and search (default 120); another run goes on from there",
    )
    parser.add_argument(
        "--cases",
        type=numbers.count,
        default=CASES,
        metavar="N",
        help="batches of the verify dataset that are measured (default 4)",
    )
    add_places(parser)
    add_remote(parser)
    add_json(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Measure, search, and print the lines to paste; 1 where nothing reaches the tolerance."""
    values = {name: value.value for name, value in resolve(options).items()}
    listener = Quiet() if options.json else Terminal()
    search = Search(options.precision, options.seconds, options.cases)
    with open_store(values) as store:
        (recipe,) = load_recipes([options.recipe], store.memo)
        recipe = with_precision(recipe, search.precision)
        session = Session((recipe,), store, listener, Settings(out=values["out"]))
        try:
            found = measure(session, search)
        except KeyboardInterrupt:
            session.executor.stop()
            raise
        finally:
            if isinstance(listener, Terminal):
                listener.stop()
        if found is None:
            if options.json:
                print_json(run_document(session.rebuilders, ExitCode.FAILED))
            else:
                print_outcomes(session.rebuilders)
            return ExitCode.FAILED
    document, place = found
    exit_code = ExitCode.DONE if document["keeping"]["enough"] else ExitCode.FAILED
    if options.json:
        print_json(document, exit_code)
    else:
        print_sensitivity(document, place)
    return exit_code
