"""What a failed CUDA call says to the user: code, call, and the remedy."""

from __future__ import annotations

from trtbuild.errors import StageError

OUT_OF_MEMORY = 2
NO_DEVICE = 100

# Results after which nothing works in this process: the context, or the GPU itself, is gone.
_LOST = frozenset({4, 46, 214, 220, 226, 700, 702, 709, 714, 715, 716, 717, 718, 719, 721, 999})
_HINTS = {
    OUT_OF_MEMORY: "take a smaller batch or fewer streams, or end what else runs on this GPU",
    3: "the driver could not start: check `nvidia-smi`",
    34: "libcuda.so.1 is a stub for linking: put the driver's own library first on the loader path",
    35: "install a driver that is as new as the CUDA version the libraries were built with",
    46: "another process holds this GPU exclusively: see `nvidia-smi`",
    NO_DEVICE: "see `nvidia-smi`, and the environment variable CUDA_VISIBLE_DEVICES",
    101: "there are fewer GPUs: see `nvidia-smi -L`",
    802: "the GPU fabric is not ready: check `nvidia-smi` and the fabric manager",
    803: "the driver's kernel module and libcuda are of different versions: restart the machine",
    804: "the forward-compatibility libcuda does not support this GPU: use the driver's own",
}
_LOST_HINT = (
    "the GPU or its context is lost: check `nvidia-smi` and the kernel log for Xid errors, then "
    "run again in a new process"
)


class CudaError(StageError):
    """A CUDA driver call failed; `code` is its CUresult, 0 where the provider does not say."""

    def __init__(self, call: str, code: int, text: str) -> None:
        number = f" (CUDA error {code})" if code else ""
        super().__init__(f"{call} failed: {text}{number}", hint=hint_for(code))
        self.call = call
        self.code = code
        self.text = text

    @property
    def out_of_memory(self) -> bool:
        """Whether memory on the GPU, or pinned memory on the host, ran out."""
        return self.code == OUT_OF_MEMORY

    @property
    def device_lost(self) -> bool:
        """Whether every later call in this process fails too."""
        return self.code in _LOST


def hint_for(code: int) -> str:
    """The remedy for a CUresult; empty where there is none to give."""
    return _LOST_HINT if code in _LOST and code not in _HINTS else _HINTS.get(code, "")
