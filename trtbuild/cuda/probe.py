"""Whether there is a CUDA device, and its facts: by ctypes alone, and quick where there is none."""

from __future__ import annotations

import ctypes
import os
from ctypes import byref, c_char_p, c_int, c_size_t, create_string_buffer
from dataclasses import dataclass
from functools import lru_cache

from trtbuild.cuda.driver import LIBRARY, Driver, load_driver
from trtbuild.cuda.errors import NO_DEVICE, CudaError

_NVML = "libnvidia-ml.so.1"
# CUdevice_attribute
_MULTIPROCESSORS, _INTEGRATED, _L2, _MAJOR, _MINOR, _PERSISTING_L2 = 16, 18, 38, 75, 76, 108


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """What is fixed about one GPU while the driver stays the same."""

    ordinal: int  # as CUDA counts, after CUDA_VISIBLE_DEVICES
    name: str  # "NVIDIA H100 80GB HBM3"
    compute_capability: str  # "9.0"
    memory: int  # bytes
    uuid: str  # "GPU-...", or "MIG-..." of a slice
    pci_bus: str  # "0000:01:00.0"
    multiprocessors: int
    l2_cache: int  # bytes
    persisting_l2: int  # bytes of it that can be set aside; 0 before compute capability 8.0
    integrated: bool  # shares its memory with the host (Jetson)
    driver: str  # "580.159.04"; "" where nothing says
    cuda: str  # the newest CUDA that the driver speaks: "13.0"


@dataclass(frozen=True, slots=True)
class Probe:
    """The CUDA devices of this process, or the reason why there are none."""

    devices: tuple[DeviceFacts, ...]
    reason: str  # "" where there are devices


@lru_cache(maxsize=1)
def probe() -> Probe:
    """The CUDA devices; never raises. Makes no context, so that it takes no memory on a GPU."""
    driver = load_driver()
    if driver is None:
        return Probe((), f"no CUDA device ({LIBRARY} is not on this machine)")
    try:
        driver("cuInit", 0)
        devices = tuple(_facts(driver, ordinal) for ordinal in range(_count(driver)))
    except CudaError as error:
        why = "" if error.code == NO_DEVICE else f" ({error.what})"
        return Probe((), f"no CUDA device{why}")
    return Probe(devices, "" if devices else "no CUDA device")


def _count(driver: Driver) -> int:
    count = c_int()
    driver("cuDeviceGetCount", byref(count))
    return count.value


def _facts(driver: Driver, ordinal: int) -> DeviceFacts:
    device = c_int()
    driver("cuDeviceGet", byref(device), ordinal)
    memory = c_size_t()
    driver("cuDeviceTotalMem_v2", byref(memory), device)
    name = create_string_buffer(256)
    driver("cuDeviceGetName", name, len(name), device)
    bus = create_string_buffer(32)
    driver("cuDeviceGetPCIBusId", bus, len(bus), device)
    return DeviceFacts(
        ordinal=ordinal,
        name=name.value.decode(),
        compute_capability=f"{_attribute(driver, device, _MAJOR)}."
        f"{_attribute(driver, device, _MINOR)}",
        memory=memory.value,
        uuid=_uuid(driver, device, name.value.decode()),
        pci_bus=bus.value.decode(),
        multiprocessors=_attribute(driver, device, _MULTIPROCESSORS),
        l2_cache=_attribute(driver, device, _L2),
        persisting_l2=_attribute(driver, device, _PERSISTING_L2),
        integrated=bool(_attribute(driver, device, _INTEGRATED)),
        driver=driver_version(),
        cuda=_cuda_version(driver),
    )


def _attribute(driver: Driver, device: c_int, attribute: int) -> int:
    value = c_int()
    driver("cuDeviceGetAttribute", byref(value), attribute, device)
    return value.value


def _uuid(driver: Driver, device: c_int, name: str) -> str:
    """The name by which CUDA_VISIBLE_DEVICES and NVML know the device, which is called `name`.

    No call says whether a device is a slice of a GPU in MIG mode, and a slice under the wrong
    prefix is not found. Three things say so, and any of them is enough: the second version of
    cuDeviceGetUuid gives a slice's own UUID where the first gives the GPU's (CUDA 11.4); a slice's
    name ends as "MIG 1g.10gb"; and whoever chose it by its UUID has said so.
    """
    chosen = _visible()
    if not driver.has("cuDeviceGetUuid_v2"):
        # Before driver 470 slices have no UUIDs: CUDA takes back what it was given, as
        # MIG-GPU-.../1/0, and shows a process one slice at most.
        named = chosen[0].startswith("MIG-")
        return chosen[0] if named else f"GPU-{_uuid_by(driver, 'cuDeviceGetUuid', device)}"
    own = _uuid_by(driver, "cuDeviceGetUuid_v2", device)
    part = f"MIG-{own}"
    is_slice = (
        own != _uuid_by(driver, "cuDeviceGetUuid", device)
        or " MIG " in name
        or any(text.startswith("MIG-") and part.startswith(text) for text in chosen)
    )
    return part if is_slice else f"GPU-{own}"


def _uuid_by(driver: Driver, call: str, device: c_int) -> str:
    """The UUID that a call gives, without the prefix that says what it is of."""
    import uuid  # 5 ms that a machine without a GPU need not spend

    raw = create_string_buffer(16)
    driver(call, raw, device)
    return str(uuid.UUID(bytes=raw.raw))


def _visible() -> list[str]:
    """What CUDA_VISIBLE_DEVICES names; UUIDs may be cut short in it."""
    return [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]


def _cuda_version(driver: Driver) -> str:
    version = c_int()
    driver("cuDriverGetVersion", byref(version))
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


@lru_cache(maxsize=1)
def driver_version() -> str:
    """The version of the NVIDIA driver, as "580.159.04"; "" where nothing says (by NVML)."""
    try:
        nvml = ctypes.CDLL(_NVML)
    except OSError:
        return ""
    if nvml.nvmlInit_v2():
        return ""
    try:
        text = create_string_buffer(96)
        failed = nvml.nvmlSystemGetDriverVersion(ctypes.cast(text, c_char_p), len(text))
        return "" if failed else text.value.decode()
    finally:
        nvml.nvmlShutdown()
