"""The source model in PyTorch as a subject of a comparison: eager, or through torch.compile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from time import perf_counter_ns
from typing import Any

import numpy as np
import torch

from trtbuild.benchmark.interleave import Timed
from trtbuild.errors import StageError
from trtbuild.model.torch_inputs import takes_by_name
from trtbuild.model.torch_outputs import flat_outputs
from trtbuild.model.torch_source import to_array, to_tensor
from trtbuild.trt.tensors import Array

_WARMUPS = 5  # torch.compile compiles in the first, and may again in the second

Module = Callable[..., Any]


class TorchSubject:
    """A module with its inputs on the GPU.

    `compile_mode` is None for eager, else a mode of torch.compile. `dtype` of "float16" or
    "bfloat16" changes weights and floating inputs. `tf32` lets float32 products and convolutions
    round their inputs to 19 bits, as TensorRT does by default.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        inputs: Mapping[str, Array],
        *,
        compile_mode: str | None,
        dtype: str | None,
        tf32: bool,
    ) -> None:
        if not torch.cuda.is_available():
            raise StageError(
                f"this PyTorch ({torch.__version__}) has no CUDA device",
                hint="install a build of torch with CUDA that the driver supports",
            )
        self._tf32 = tf32
        module = module.cuda().to(getattr(torch, dtype)) if dtype else module.cuda()
        kind = _float_type(module)
        how = f"compiled ({compile_mode})" if compile_mode else "eager"
        precision = str(kind or torch.float32).removeprefix("torch.")
        rounded = ", TF32" if tf32 and precision == "float32" else ""
        self.name = f"PyTorch {how}, {precision}{rounded}"
        self.version = str(torch.__version__)
        tensors = {name: _on_gpu(values, kind) for name, values in inputs.items()}
        self._call = _bound(module, tensors, compile_mode)
        self._stream = torch.cuda.Stream()
        self.run(_WARMUPS)

    def outputs(self) -> list[Array]:
        """What one query gives, in order; floats as float32."""
        with torch.inference_mode():
            found = [tensor for _, tensor in flat_outputs(self._call(), self.name)]
        return [to_array(t.float() if t.is_floating_point() else t) for t in found]

    def run(self, queries: int) -> Timed:
        """Runs so many queries, each waited for before the next."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        wall, gpu = np.empty(queries), np.empty(queries)
        before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        torch.set_float32_matmul_precision("high" if self._tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = self._tf32
        try:
            with torch.inference_mode(), torch.cuda.stream(self._stream):
                for index in range(queries):
                    begun = perf_counter_ns()
                    start.record()
                    self._call()
                    end.record()
                    end.synchronize()
                    wall[index] = (perf_counter_ns() - begun) / 1e6
                    gpu[index] = start.elapsed_time(end)
        finally:
            torch.set_float32_matmul_precision(before[0])
            torch.backends.cudnn.allow_tf32 = before[1]
        return Timed(wall, gpu)


def _float_type(module: torch.nn.Module) -> torch.dtype | None:
    """The floating type that most of a module's weights have; None where none has one."""
    counts: Counter[torch.dtype] = Counter()
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            counts[tensor.dtype] += tensor.numel()
    return counts.most_common(1)[0][0] if counts else None


def _on_gpu(values: Array, kind: torch.dtype | None) -> torch.Tensor:
    """A tensor on the GPU; floats in the module's type, since an engine's may be narrower."""
    tensor = to_tensor(values).cuda()
    return tensor.to(kind) if kind is not None and tensor.is_floating_point() else tensor


def _bound(
    module: torch.nn.Module, tensors: Mapping[str, torch.Tensor], compile_mode: str | None
) -> Callable[[], Any]:
    """The module's call with its inputs: by name where forward has all these names."""
    by_name = takes_by_name(module, list(tensors))
    function: Module = torch.compile(module, mode=compile_mode) if compile_mode else module
    if by_name:
        return lambda: function(**tensors)
    values = tuple(tensors.values())
    return lambda: function(*values)
