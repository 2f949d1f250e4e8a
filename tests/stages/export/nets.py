"""The user's file of PyTorch modules, good ones and bad ones."""

from __future__ import annotations

NETS = '''
import dataclasses
import torch
from torch import nn


class Net(nn.Module):
    """Two inputs that share a batch."""

    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.head = nn.Linear(width, 10)

    def features(self, image):
        return self.conv(image).relu().mean((2, 3))

    def forward(self, image, mask):
        return self.head(self.features(image)) * mask


class Nested(Net):
    def forward(self, image, mask):
        found = self.features(image)
        return {"logits": self.head(found) * mask, "maps": (found, [found + 1]), "none": None,
                "mask": mask * 2}


@dataclasses.dataclass
class Result:
    score: torch.Tensor
    extra: object = None


class Structured(Net):
    def forward(self, image, mask):
        found = self.features(image)
        return Result(found, extra=Result(mask * 2))


class Add(nn.Module):
    def forward(self, x, y):
        return x + y


class Double(nn.Module):
    def forward(self, x):
        return x * 2


class Reversed(nn.Module):
    """Its parameters are in another order than the recipe's inputs."""

    def forward(self, subtrahend, minuend):
        return minuend - subtrahend


class Recurrent(nn.Module):
    def forward(self, x, h, c):
        return x + 2 * h + 3 * c


class Open(nn.Module):
    """Takes any number of states behind its input."""

    def forward(self, x, *states):
        return x - sum(states)


class Detector(nn.Module):
    def forward(self, x):
        return {"scores": x, "classes": x + 1, "boxes": x + 2}


class Precise(nn.Module):
    def forward(self, x):
        return x.double() * 2


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x + 1
        return x - 1


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(8, 4))

    def forward(self, x):
        return x + self.place


class Positions(nn.Module):
    """Knows 32 positions."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, 32, 4))

    def forward(self, x):
        return x + self.place[:, : x.shape[1]]


class Short(nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[0] <= 16 else x


class Svd(nn.Module):
    def forward(self, x):
        return torch.linalg.svd(x)[1]


class Baked(nn.Module):
    def forward(self, x):
        return x + torch.zeros(int(x.shape[0]), 4)


class Unused(nn.Module):
    def forward(self, x, y):
        return x * 2


class Counting(nn.Module):
    def forward(self, x):
        return x, 3


class Encoder(nn.Module):
    """Its output has the name that torch gives to what nn.Embedding makes inside."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(10, 4)

    def forward(self, ids):
        return {"embedding": self.words(ids).mean(1)}


class Raising(nn.Module):
    def forward(self, x):
        raise ValueError("no such thing")
'''
