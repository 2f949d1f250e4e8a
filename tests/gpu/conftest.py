"""What tests on a GPU stand on: a device by each provider, engines built here, reasons to skip."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gpu.nets import Net
from tests.gpu.stages import BACKEND, build
from trtbuild.cuda.device import PROVIDERS, Device, open_device
from trtbuild.cuda.probe import probe

MODULES = {"pycuda": "pycuda", "cuda-python": "cuda.bindings"}

Builder = Callable[[Net], Path]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test of this folder, and skips it where it cannot run."""
    here = Path(__file__).parent
    reason = why_not()
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gpu)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))


def why_not() -> str:
    """Why these tests cannot run here; "" where they can."""
    found = probe()
    if not found.devices:
        return found.reason
    if importlib.util.find_spec(BACKEND) is None:
        return f"{BACKEND} is not installed"
    if not any(installed(provider) for provider in PROVIDERS):
        return f"none of {', '.join(PROVIDERS)} is installed"
    return ""


def installed(provider: str) -> bool:
    """Whether a provider's package is there."""
    package = MODULES[provider]
    top = package.partition(".")[0]
    if importlib.util.find_spec(top) is None:
        return False
    return package == top or importlib.util.find_spec(package) is not None


@pytest.fixture(params=PROVIDERS)
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    """The first GPU, by each provider that is installed; current within the test."""
    provider: str = request.param
    if not installed(provider):
        pytest.skip(f"{MODULES[provider]} is not installed")
    opened = open_device(provider=provider)
    try:
        with opened.current():
            yield opened
            opened.synchronize()
    finally:
        opened.close()


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """Builds the engine of a net, once in a session, by the build stage."""
    done: dict[str, Path] = {}

    def engine(net: Net) -> Path:
        if net.name not in done:
            done[net.name] = build(net, tmp_path_factory.mktemp(net.name))
        return done[net.name]

    return engine
