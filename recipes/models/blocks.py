"""Building blocks of the digits network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own spelling


class ConvBlock(nn.Module):
    """3x3 convolution, batch norm, ReLU: [N, C, H, W] to [N, C', H/stride, W/stride]."""

    def __init__(self, channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, rectify."""
        return F.relu(self.norm(self.conv(x)))


class ResidualBlock(nn.Module):
    """Two ConvBlocks with a shortcut around them; shapes stay as they are."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvBlock(channels, channels)
        self.second = ConvBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """x + f(x)."""
        return torch.add(x, self.second(self.first(x)))
