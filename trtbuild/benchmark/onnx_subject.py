"""An ONNX file in ONNX Runtime as a subject of a comparison: on CUDA where it can, else the CPU."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter_ns

import numpy as np
import onnxruntime

from trtbuild.benchmark.interleave import Timed
from trtbuild.benchmark.names import of_graph
from trtbuild.errors import StageError
from trtbuild.trt.tensors import Array

_WARMUPS = 5
_FLOATS = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
_CUDA = "CUDAExecutionProvider"


class OnnxSubject:
    """A model in ONNX Runtime, all graph optimisations on.

    On CUDA, inputs and outputs stay on the GPU (I/O binding), and times are the host's: there is
    no event around the work. `provider` is "cuda", "cpu", or None for the first that is there;
    `threads` of the CPU, None for ONNX Runtime's own choice; `what` is added to the name. A graph
    from before surgery gets the inputs by `renames` (old name -> new name).
    """

    def __init__(
        self,
        path: Path,
        inputs: Mapping[str, Array],
        renames: Mapping[str, str],
        *,
        provider: str | None,
        threads: int | None,
        what: str = "",
    ) -> None:
        has_cuda = _CUDA in onnxruntime.get_available_providers()
        if provider == "cuda" and not has_cuda:
            raise StageError(
                f"this ONNX Runtime ({onnxruntime.__version__}) has no CUDA",
                hint="install onnxruntime-gpu, or leave the provider out to measure the CPU",
            )
        wanted = [_CUDA] if has_cuda and provider != "cpu" else []
        if wanted:
            # CUDA and cuDNN as pip installs them; where they are missing, said below.
            with contextlib.redirect_stdout(io.StringIO()):
                onnxruntime.preload_dlls()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised, the rest is noise
        if threads is not None:
            options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=[*wanted, "CPUExecutionProvider"]
        )
        # Where a library of CUDA is missing or of another version, the session is on the CPU and
        # says so only in its log.
        on_cuda = _CUDA in self._session.get_providers()
        if provider == "cuda" and not on_cuda:
            raise StageError(
                f"the CUDA of this ONNX Runtime ({onnxruntime.__version__}) cannot be loaded",
                hint="install what it was built for: pip install onnxruntime-gpu[cuda,cudnn]",
            )
        self.name = f"ONNX Runtime {'CUDA' if on_cuda else 'CPU'}{what}"
        self.version = str(onnxruntime.__version__)
        self._inputs = self._fitted(inputs, renames)
        self._binding = self._bound() if on_cuda else None
        self.run(_WARMUPS)

    def run(self, queries: int) -> Timed:
        """Runs so many queries, each done before the next."""
        wall = np.empty(queries)
        for index in range(queries):
            begun = perf_counter_ns()
            if self._binding is None:
                self._session.run(None, self._inputs)
            else:
                self._session.run_with_iobinding(self._binding)
            wall[index] = (perf_counter_ns() - begun) / 1e6
        return Timed(wall, np.empty(0))

    def _fitted(self, inputs: Mapping[str, Array], renames: Mapping[str, str]) -> dict[str, Array]:
        """The inputs, floats in the type that the model takes: an engine's may be narrower."""
        types = {item.name: _FLOATS.get(item.type) for item in self._session.get_inputs()}
        return {
            name: values if (wanted := types.get(name)) is None else values.astype(wanted)
            for name, values in of_graph(types, inputs, renames).items()
        }

    def _bound(self) -> onnxruntime.IOBinding:
        binding = self._session.io_binding()
        for name, values in self._inputs.items():
            binding.bind_ortvalue_input(
                name, onnxruntime.OrtValue.ortvalue_from_numpy(values, "cuda", 0)
            )
        for output in self._session.get_outputs():
            binding.bind_output(output.name, "cuda")
        return binding
