"""The backend that builds without a GPU, loaded once."""

from __future__ import annotations

import pytest

from trtbuild.trt.flavour import Flavour, load_backend


@pytest.fixture(scope="session")
def rtx() -> Flavour:
    return load_backend("tensorrt_rtx")
