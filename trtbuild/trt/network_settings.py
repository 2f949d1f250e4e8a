"""Sets the options of a recipe's `build` that are about tensors, weights and layers by name."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.recipe.build_options import value_at
from trtbuild.recipe.build_table import option
from trtbuild.trt.settings import Settings, check_taken, require

if TYPE_CHECKING:
    from trtbuild.trt.flavour import Flavour


def apply_to_network(flavour: Flavour, network: Any, config: Any, settings: Settings) -> None:
    """Set what a parsed network, and a builder config for it, must be told by name.

    Raises StageError for a name that is not there, and where TensorRT did not take a value.
    """
    for key, write in _WRITERS.items():
        row = option(key)
        value = value_at(settings, row.path)
        if value is None or value is False:
            continue
        require(flavour, row)
        write(flavour, network, config, value)


def _mark_outputs(_: Flavour, network: Any, __: Any, names: list[str]) -> None:
    tensors = _tensors(network)
    for name in names:
        tensor = _found(name, tensors, "mark_outputs", "tensor")
        if not tensor.is_network_output:
            network.mark_output(tensor)
        if not tensor.is_network_output:
            raise StageError(f"'{name}' cannot be an output", where="build.mark_outputs")


def _io_formats(
    flavour: Flavour, network: Any, _: Any, formats: Mapping[str, Iterable[str]]
) -> None:
    ports = {tensor.name: tensor for tensor in _ports(network)}
    known = flavour.module.TensorFormat
    for name, chosen in formats.items():
        tensor = _found(name, ports, "io_formats", "input or output")
        mask = sum(1 << int(getattr(known, item.upper())) for item in set(chosen))
        tensor.allowed_formats = mask
        check_taken(flavour, option("io_formats"), mask, int(tensor.allowed_formats))


def _debug_tensors(_: Flavour, network: Any, __: Any, names: list[str]) -> None:
    tensors = _tensors(network)
    for name in names:
        tensor = _found(name, tensors, "debug_tensors", "tensor")
        network.mark_debug(tensor)
        if not network.is_debug_tensor(tensor):
            raise StageError(f"'{name}' cannot be a debug tensor", where="build.debug_tensors")


def _debug_unfused(_: Flavour, network: Any, __: Any, ___: bool) -> None:
    if not network.mark_unfused_tensors_as_debug_tensors():
        raise StageError("it was not taken", where="build.debug_unfused_tensors")


def _refit_weights(_: Flavour, network: Any, __: Any, names: list[str]) -> None:
    for name in names:
        if not network.mark_weights_refittable(name):
            raise StageError(
                f"there are no weights '{name}' that can be exchanged",
                where="build.refit_weights",
                hint="weights have the names of the ONNX model's initializers: `trtbuild inspect`",
            )


def _attentions(flavour: Flavour, network: Any, __: Any, patterns: list[str]) -> None:
    row = option("decomposable_attentions")
    found = {attention.name: attention for attention in _attentions_in(flavour, network)}
    for pattern in patterns:
        names = fnmatch.filter(found, pattern)
        if not names:
            _found(pattern, found, row.key, "attention")
        for name in names:
            attention = found[name]
            attention.decomposable = True
            check_taken(flavour, row, True, bool(attention.decomposable))


def _attentions_in(flavour: Flavour, network: Any) -> Iterable[Any]:
    trt = flavour.module
    for boundary in _layers(network):
        if boundary.type == trt.LayerType.ATTENTION_INPUT:
            # A network gives layers of the general class; this is TensorRT's way to the own one.
            boundary.__class__ = trt.IAttentionInputLayer
            yield boundary.attention


def _layer_devices(flavour: Flavour, network: Any, config: Any, devices: Mapping[str, str]) -> None:
    layers = {layer.name: layer for layer in _layers(network)}
    for pattern, device in devices.items():
        names = fnmatch.filter(layers, pattern)
        if not names:
            _found(pattern, layers, "dla.layers", "layer")
        kind = getattr(flavour.module.DeviceType, device.upper())
        for name in names:
            config.set_device_type(layers[name], kind)
            taken = config.get_device_type(layers[name])
            check_taken(flavour, option("dla.layers"), device, taken.name.lower())


_WRITERS: dict[str, Callable[[Flavour, Any, Any, Any], None]] = {
    "mark_outputs": _mark_outputs,
    "io_formats": _io_formats,
    "debug_tensors": _debug_tensors,
    "debug_unfused_tensors": _debug_unfused,
    "refit_weights": _refit_weights,
    "decomposable_attentions": _attentions,
    "dla.layers": _layer_devices,
}
"""By key, in the order in which they are set: formats may be those of a new output."""


def _layers(network: Any) -> Iterable[Any]:
    return (network.get_layer(index) for index in range(network.num_layers))


def _ports(network: Any) -> Iterable[Any]:
    yield from (network.get_input(index) for index in range(network.num_inputs))
    yield from (network.get_output(index) for index in range(network.num_outputs))


def _tensors(network: Any) -> dict[str, Any]:
    found = {tensor.name: tensor for tensor in _ports(network)}
    for layer in _layers(network):
        for index in range(layer.num_outputs):
            tensor = layer.get_output(index)
            found[tensor.name] = tensor
    return found


def _found(name: str, known: Mapping[str, Any], key: str, what: str) -> Any:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    raise StageError(
        f"the network has no {what} '{name}'",
        where=f"build.{key}",
        hint=f"did you mean '{near[0]}'?" if near else "names are those of the model that is built",
    )
