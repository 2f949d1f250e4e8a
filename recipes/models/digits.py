"""A small network that reads handwritten digits of 8x8 pixels."""

from __future__ import annotations

from blocks import ConvBlock, ResidualBlock
from torch import Tensor, nn

CLASSES = 10


class DigitsNet(nn.Module):
    """Images [N, 1, 8, 8] with values from 0 to 1 become class scores (logits) [N, 10]."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.features = nn.Sequential(
            ConvBlock(1, width),
            ResidualBlock(width),
            ConvBlock(width, 2 * width, stride=2),
            ResidualBlock(2 * width),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.dropout = nn.Dropout(0.3)
        self.classifier = nn.Linear(4 * 2 * width, CLASSES)

    def forward(self, image: Tensor) -> Tensor:
        """Scores, one per class; the largest is the digit."""
        scores: Tensor = self.classifier(self.dropout(self.features(image)))
        return scores
