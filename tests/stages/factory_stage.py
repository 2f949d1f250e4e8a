"""A stage for tests of what user code reads: calls `make` of the recipe's factory.py."""

from __future__ import annotations

from trtbuild.model.references import call_user, load_callable
from trtbuild.stages.base import StageContext


def run(context: StageContext) -> None:
    """Call it."""
    reference = "factory.py:make"
    call_user(load_callable(reference, context.folder), reference)
