"""Slices of a GPU in MIG mode: known by their own UUIDs, to CUDA, NVML and leases.

libcuda is a stand-in, since slices need a GPU in MIG mode: it answers as its documentation says.
"""

from __future__ import annotations

import ctypes
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtbuild.cuda import probe as probing
from trtbuild.cuda.lease import lease_file, try_acquire
from trtbuild.cuda.probe import DeviceFacts, probe

GPU = uuid.UUID("11111111-2222-3333-4444-555555555555")
SLICES = tuple(uuid.UUID(f"{number}6666666-7777-8888-9999-aaaaaaaaaaaa") for number in (1, 2))
NAME = "NVIDIA H100 80GB HBM3"
Probe = Callable[..., tuple[DeviceFacts, ...]]


class Libcuda:
    """Devices by the UUIDs that the two versions of cuDeviceGetUuid give."""

    def __init__(
        self, *devices: tuple[uuid.UUID, uuid.UUID], name: str = NAME, new: bool = True
    ) -> None:
        self._devices, self._name, self._new = devices, name.encode(), new

    def has(self, name: str) -> bool:
        return self._new or name != "cuDeviceGetUuid_v2"

    def __call__(self, name: str, *arguments: Any) -> None:
        if name.startswith("cuDeviceGetUuid"):
            target, device = arguments
            target.raw = self._devices[device.value][name.endswith("_v2")].bytes
        elif name == "cuDeviceGetCount":
            self._set(arguments[0], len(self._devices))
        elif name == "cuDeviceGet":
            self._set(arguments[0], arguments[1])
        elif name == "cuDeviceGetName":
            arguments[0].value = self._name

    def _set(self, target: Any, value: int) -> None:
        ctypes.cast(target, ctypes.POINTER(ctypes.c_int))[0] = value


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The devices of a libcuda, with CUDA_VISIBLE_DEVICES as given."""

    def found(driver: Libcuda, visible: str | None = None) -> tuple[DeviceFacts, ...]:
        monkeypatch.setattr(probing, "load_driver", lambda: driver)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        probe.cache_clear()
        return probe().devices

    yield found
    probe.cache_clear()


@pytest.mark.parametrize("visible", [None, "0", f"GPU-{GPU}", f"MIG-{SLICES[0]}"])
def test_a_whole_gpu_keeps_its_prefix(probed: Probe, visible: str | None) -> None:
    (device,) = probed(Libcuda((GPU, GPU)), visible)
    assert device.uuid == f"GPU-{GPU}"


def test_a_slice_is_told_by_a_uuid_that_is_not_its_gpus(probed: Probe) -> None:
    first, second = probed(Libcuda((GPU, SLICES[0]), (GPU, SLICES[1])))
    assert (first.uuid, second.uuid) == (f"MIG-{SLICES[0]}", f"MIG-{SLICES[1]}")


def test_a_slice_is_told_by_its_name(probed: Probe) -> None:
    (device,) = probed(Libcuda((SLICES[0], SLICES[0]), name=f"{NAME} MIG 1g.10gb"))
    assert device.uuid == f"MIG-{SLICES[0]}"


@pytest.mark.parametrize("visible", [f"MIG-{SLICES[0]}", "MIG-16666", f"0, MIG-{SLICES[0]}"])
def test_a_slice_is_told_by_who_chose_it(probed: Probe, visible: str) -> None:
    (device,) = probed(Libcuda((SLICES[0], SLICES[0])), visible)
    assert device.uuid == f"MIG-{SLICES[0]}"


def test_an_old_driver_gets_back_the_name_of_the_slice(probed: Probe, tmp_path: Path) -> None:
    old = Libcuda((GPU, GPU), new=False)
    (device,) = probed(old, f"MIG-GPU-{GPU}/1/0")
    assert device.uuid == f"MIG-GPU-{GPU}/1/0"
    assert lease_file(device, tmp_path).parent == tmp_path
    (whole,) = probed(old, "0")
    assert whole.uuid == f"GPU-{GPU}"


def test_each_slice_has_a_lease_of_its_own(probed: Probe, tmp_path: Path) -> None:
    first, second = probed(Libcuda((GPU, SLICES[0]), (GPU, SLICES[1])))
    held = try_acquire(first, tmp_path)
    assert held is not None
    with held:
        assert try_acquire(first, tmp_path) is None
        other = try_acquire(second, tmp_path)
        assert other is not None
        other.release()
