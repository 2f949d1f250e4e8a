"""Has the user's own modules run from their source, as the action key has it.

Byte code is matched to its source by size and a time in seconds: after an edit in the same second,
or with an older time, Python would run the old code.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any


def run_from_source(is_users: Callable[[str], bool]) -> None:
    """Neither read nor write the byte code of modules whose absolute path is the user's."""
    external: Any = importlib.import_module("importlib._bootstrap_external")
    original = external.cache_from_source

    def cache_from_source(path: Any, *arguments: Any, **options: Any) -> Any:
        if is_users(os.path.abspath(os.fsdecode(path))):  # noqa: PTH100 - text
            raise NotImplementedError  # what a Python without caches of byte code raises
        return original(path, *arguments, **options)

    external.cache_from_source = cache_from_source
