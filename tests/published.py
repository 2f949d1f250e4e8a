"""Published models, where `python recipes/fetch_models.py` has put them."""

from __future__ import annotations

from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[1] / "recipes"
MODELS = RECIPES / "fetched"

needs_models = pytest.mark.skipif(
    not MODELS.is_dir(), reason="there is no recipes/fetched: run `python recipes/fetch_models.py`"
)
