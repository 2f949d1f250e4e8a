"""The builder's options: for each key of a recipe's `build`, its calls and where it exists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError

if TYPE_CHECKING:
    from trtbuild.trt.flavour import Flavour


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of a build; None leaves TensorRT's own default."""

    workspace: int | None = None  # bytes
    optimization_level: int | None = None  # 0 to 5
    compute_capabilities: tuple[str, ...] = ()  # "75", "86", ... or "current"; () is portable
    tf32: bool = True


@dataclass(frozen=True, slots=True)
class Setting:
    """One option: how it is set, and how it is read back, since TensorRT's setters only log."""

    key: str  # of the recipe's `build`, and the field of Settings
    needs: str  # the member of the module without which the option does not exist
    absent: str  # what to say then
    write: Callable[[Flavour, Any, Any], None]  # flavour, builder config, value
    read: Callable[[Flavour, Any], Any]


def apply_settings(flavour: Flavour, config: Any, settings: Settings) -> None:
    """Set every option on a builder config and read it back.

    Raises StageError where this TensorRT has no such option or did not take the value.
    """
    for setting in SETTINGS:
        value = getattr(settings, setting.key)
        if value is None or value == ():
            continue
        if not flavour.has(setting.needs):
            raise StageError(
                f"{flavour.title} has no such option",
                where=f"build.{setting.key}",
                hint=setting.absent,
            )
        setting.write(flavour, config, value)
        taken = setting.read(flavour, config)
        if taken != value:
            raise StageError(
                f"{flavour.title} does not take {_written(value)}: it is {_written(taken)} instead",
                where=f"build.{setting.key}",
            )


def _written(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _set_workspace(flavour: Flavour, config: Any, value: int) -> None:
    config.set_memory_pool_limit(flavour.module.MemoryPoolType.WORKSPACE, value)


def _workspace(flavour: Flavour, config: Any) -> int:
    return int(config.get_memory_pool_limit(flavour.module.MemoryPoolType.WORKSPACE))


def _set_level(_: Flavour, config: Any, value: int) -> None:
    config.builder_optimization_level = value


def _level(_: Flavour, config: Any) -> int:
    return int(config.builder_optimization_level)


def _set_tf32(flavour: Flavour, config: Any, value: bool) -> None:
    flag = flavour.module.BuilderFlag.TF32
    (config.set_flag if value else config.clear_flag)(flag)


def _tf32(flavour: Flavour, config: Any) -> bool:
    return bool(config.get_flag(flavour.module.BuilderFlag.TF32))


def _set_capabilities(flavour: Flavour, config: Any, value: tuple[str, ...]) -> None:
    known = flavour.module.ComputeCapability
    where = "build.compute_capabilities"
    if "current" in value and len(value) > 1:
        raise StageError(
            "'current' cannot stand beside other compute capabilities",
            where=where,
            hint="name the one of this GPU instead, or 'current' alone",
        )
    missing = [name for name in value if not hasattr(known, _member(name))]
    if missing:
        names = [name[2:] for name in known.__members__ if name.startswith("SM")]
        raise StageError(
            f"{flavour.title} does not know compute capability {', '.join(missing)}",
            where=where,
            hint=f"choose from {', '.join(sorted(names, key=int))}, or current",
        )
    config.num_compute_capabilities = len(value)
    for index, name in enumerate(value):
        config.set_compute_capability(getattr(known, _member(name)), index)


def _capabilities(_: Flavour, config: Any) -> tuple[str, ...]:
    indices = range(config.num_compute_capabilities)
    names = (config.get_compute_capability(index).name for index in indices)
    return tuple(name.lower().removeprefix("sm") for name in names)


def _member(name: str) -> str:
    """ "86" -> "SM86", "current" -> "CURRENT"."""
    return "CURRENT" if name == "current" else f"SM{name}"


SETTINGS = (
    Setting("workspace", "MemoryPoolType.WORKSPACE", "", _set_workspace, _workspace),
    Setting(
        "optimization_level", "IBuilderConfig.builder_optimization_level", "", _set_level, _level
    ),
    Setting(
        "compute_capabilities",
        "ComputeCapability",
        "TensorRT builds for the GPU that it runs on: leave the key out, or use the backend "
        "tensorrt_rtx",
        _set_capabilities,
        _capabilities,
    ),
    Setting("tf32", "BuilderFlag.TF32", "", _set_tf32, _tf32),
)
"""In the order in which they are set."""
