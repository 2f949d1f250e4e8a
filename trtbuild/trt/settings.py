"""Sets the options of a recipe's `build` on a builder config, and reads each one back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.recipe.build_options import Option
from trtbuild.recipe.build_table import present

if TYPE_CHECKING:
    from trtbuild.trt.flavour import Flavour

Settings = Mapping[str, Any]
"""The options of a build as an action holds them: the keys of `trtbuild.recipe.build_table`, in
their groups. What is not there stays as TensorRT has it."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How a kind of option is set, and how it is read back, since TensorRT's setters only log."""

    write: Callable[[Flavour, Any, Option, Any], None]  # flavour, builder config, row, value
    read: Callable[[Flavour, Any, Option], Any]


def apply_settings(flavour: Flavour, config: Any, settings: Settings) -> None:
    """Set every option that is one of the builder config and read it back.

    Raises StageError where this TensorRT has no such option or did not take the value.
    """
    for row, value in present(settings):
        way = _OWN.get(row.key) or _WAYS.get(row.kind)
        if way is None or value == []:
            continue
        require(flavour, row)
        way.write(flavour, config, row, value)
        check_taken(flavour, row, value, way.read(flavour, config, row))


def require(flavour: Flavour, row: Option) -> None:
    """Raises StageError where this TensorRT lacks a member that an option needs."""
    if not all(map(flavour.has, row.needs)):
        raise StageError(
            f"{flavour.title} has no such option",
            where=f"build.{row.key}",
            hint=f"{row.where.instead}; it is in {row.where.text}",
        )


def check_taken(flavour: Flavour, row: Option, value: Any, taken: Any) -> None:
    """Raises StageError where what was read back is not what was set."""
    if taken != value:
        raise StageError(
            f"{flavour.title} does not take {_written(value)}: it is {_written(taken)} instead",
            where=f"build.{row.key}",
        )


def _written(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _set_flag(flavour: Flavour, config: Any, row: Option, value: bool) -> None:
    flag = getattr(flavour.module.BuilderFlag, row.member)
    (config.set_flag if value else config.clear_flag)(flag)


def _flag(flavour: Flavour, config: Any, row: Option) -> bool:
    return bool(config.get_flag(getattr(flavour.module.BuilderFlag, row.member)))


def _set_unflag(flavour: Flavour, config: Any, row: Option, value: bool) -> None:
    _set_flag(flavour, config, row, not value)


def _unflag(flavour: Flavour, config: Any, row: Option) -> bool:
    return not _flag(flavour, config, row)


def _set_flags(flavour: Flavour, config: Any, row: Option, value: str) -> None:
    member = row.values[value].member
    if member:
        config.set_flag(getattr(flavour.module.BuilderFlag, member))


def _flags(flavour: Flavour, config: Any, row: Option) -> str:
    known = flavour.module.BuilderFlag
    found = [
        name
        for name, value in row.values.items()
        if hasattr(known, value.member) and config.get_flag(getattr(known, value.member))
    ]
    return found[-1] if found else "none"


def _set_pool(flavour: Flavour, config: Any, row: Option, value: int) -> None:
    config.set_memory_pool_limit(getattr(flavour.module.MemoryPoolType, row.member), value)


def _pool(flavour: Flavour, config: Any, row: Option) -> int:
    pool = getattr(flavour.module.MemoryPoolType, row.member)
    return int(config.get_memory_pool_limit(pool))


def _set_attribute(_: Flavour, config: Any, row: Option, value: Any) -> None:
    setattr(config, row.member, value)


def _attribute(_: Flavour, config: Any, row: Option) -> Any:
    return getattr(config, row.member)


def _set_choice(flavour: Flavour, config: Any, row: Option, value: str) -> None:
    known = getattr(flavour.module, row.enum)
    member = row.values[value].member
    if not hasattr(known, member):
        raise StageError(
            f"{flavour.title} does not know '{value}'",
            where=f"build.{row.key}",
            hint=f"it is in {row.values[value].where.text}",
        )
    setattr(config, row.member, getattr(known, member))


def _choice(_: Flavour, config: Any, row: Option) -> str:
    return str(getattr(config, row.member).name).lower()


def _set_tactic(flavour: Flavour, config: Any, row: Option, value: bool) -> None:
    # The integers behind the names differ between versions.
    bit = 1 << int(getattr(flavour.module.TacticSource, row.member))
    sources = int(config.get_tactic_sources())
    config.set_tactic_sources(sources | bit if value else sources & ~bit)


def _tactic(flavour: Flavour, config: Any, row: Option) -> bool:
    bit = 1 << int(getattr(flavour.module.TacticSource, row.member))
    return bool(int(config.get_tactic_sources()) & bit)


def _set_preview(flavour: Flavour, config: Any, row: Option, value: bool) -> None:
    config.set_preview_feature(getattr(flavour.module.PreviewFeature, row.member), value)


def _preview(flavour: Flavour, config: Any, row: Option) -> bool:
    return bool(config.get_preview_feature(getattr(flavour.module.PreviewFeature, row.member)))


def _set_capabilities(flavour: Flavour, config: Any, row: Option, value: list[str]) -> None:
    known = flavour.module.ComputeCapability
    where = f"build.{row.key}"
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


def _capabilities(_: Flavour, config: Any, __: Option) -> list[str]:
    indices = range(config.num_compute_capabilities)
    names = (config.get_compute_capability(index).name for index in indices)
    return [name.lower().removeprefix("sm") for name in names]


def _member(name: str) -> str:
    """ "86" -> "SM86", "current" -> "CURRENT"."""
    return "CURRENT" if name == "current" else f"SM{name}"


def _set_dla_core(flavour: Flavour, config: Any, _: Option, value: int) -> None:
    config.default_device_type = flavour.module.DeviceType.DLA
    config.DLA_core = value


def _dla_core(flavour: Flavour, config: Any, _: Option) -> int:
    on_dla = config.default_device_type == flavour.module.DeviceType.DLA
    return int(config.DLA_core) if on_dla else -1


_WAYS: dict[str, _Way] = {
    "flag": _Way(_set_flag, _flag),
    "unflag": _Way(_set_unflag, _unflag),
    "flags": _Way(_set_flags, _flags),
    "pool": _Way(_set_pool, _pool),
    "attribute": _Way(_set_attribute, _attribute),
    "choice": _Way(_set_choice, _choice),
    "tactic": _Way(_set_tactic, _tactic),
    "preview": _Way(_set_preview, _preview),
}
"""By the kind of an option. The kinds `parser` and `own` are set where their object is."""

_OWN: dict[str, _Way] = {
    "compute_capabilities": _Way(_set_capabilities, _capabilities),
    "dla.core": _Way(_set_dla_core, _dla_core),
}
"""By key, for options of the builder config that are like no other."""
