"""Train the digits network on scikit-learn's handwritten digits, and write what the recipe needs.

    python recipes/train_digits.py [--into FOLDER] [--epochs N]

It writes weights/digits.safetensors, data/digits-test.npz and data/digits-calibration.npz. One
thread and fixed seeds: two runs on one machine give the same bytes. Another processor may round
otherwise, so the weights are committed and this script says where they come from.
Needs torch, safetensors and scikit-learn.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - torch's own spelling

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "models"))  # as trtbuild does for a recipe's factory

from digits import DigitsNet  # noqa: E402 - found through the line above

WIDTH = 24
SEED = 1797  # the number of images; any will do, it only has to stay
TEST, CALIBRATION = 450, 256  # the remaining 1091 images train


class Images(NamedTuple):
    """Digits of one split: image float32 [N, 1, 8, 8] from 0 to 1, label int64 [N]."""

    image: NDArray[np.float32]
    label: NDArray[np.int64]

    def save(self, path: Path) -> None:
        """Write both arrays as .npz; the same arrays give the same bytes."""
        np.savez_compressed(path, image=self.image, label=self.label)


def split_digits() -> tuple[Images, Images, Images]:
    """Train, calibration and test images, without overlap; the split never changes."""
    pixels, labels = load_digits(return_X_y=True)
    image = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    order = np.random.default_rng(SEED).permutation(len(labels))
    test, calibration, train = np.split(order, [TEST, TEST + CALIBRATION])
    pick = [
        Images(image[part], labels[part].astype(np.int64)) for part in (train, calibration, test)
    ]
    return pick[0], pick[1], pick[2]


def augment(image: Tensor, random: torch.Generator) -> Tensor:
    """Turn, scale and shift each image a little: [N, 1, 8, 8] to the same shape."""

    def uniform(limit: float) -> Tensor:
        return (torch.rand(len(image), generator=random) * 2 - 1) * limit

    angle, scale = uniform(0.2), 1 + uniform(0.12)  # radians, factor
    row_x = torch.stack([angle.cos() * scale, -angle.sin() * scale, uniform(0.22)], 1)
    row_y = torch.stack([angle.sin() * scale, angle.cos() * scale, uniform(0.15)], 1)
    grid = F.affine_grid(torch.stack([row_x, row_y], 1), list(image.shape), align_corners=False)
    return F.grid_sample(image, grid, align_corners=False)


def train_network(data: Images, epochs: int) -> DigitsNet:
    """Fit a network with AdamW and one cosine of learning rate."""
    torch.manual_seed(SEED)
    random = torch.Generator().manual_seed(SEED)
    network = DigitsNet(WIDTH)
    image, label = torch.from_numpy(data.image), torch.from_numpy(data.label)
    optimizer = torch.optim.AdamW(network.parameters(), lr=4e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(1, epochs + 1):
        total = 0.0
        for batch in torch.randperm(len(label), generator=random).split(64):
            scores = network(augment(image[batch], random))
            loss = F.cross_entropy(scores, label[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        schedule.step()
        if epoch % 10 == 0:
            print(f"epoch {epoch:3d}  loss {total / len(label):.4f}")
    network.eval()
    return network


def accuracy(network: DigitsNet, data: Images) -> float:
    """The fraction of images whose largest score is at their label."""
    with torch.inference_mode():
        found = network(torch.from_numpy(data.image)).argmax(1).numpy()
    return float((found == data.label).mean())


def main() -> None:
    """Split, train, measure, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--into", type=Path, default=HERE, help="folder for weights/ and data/")
    parser.add_argument("--epochs", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums in one order, whatever the machine
    torch.use_deterministic_algorithms(True)
    train, calibration, test = split_digits()
    network = train_network(train, arguments.epochs)
    weights, data = arguments.into / "weights", arguments.into / "data"
    weights.mkdir(parents=True, exist_ok=True)
    data.mkdir(parents=True, exist_ok=True)
    save_file(network.state_dict(), weights / "digits.safetensors")
    test.save(data / "digits-test.npz")
    calibration.save(data / "digits-calibration.npz")
    print(f"accuracy on calibration images {accuracy(network, calibration):.4f}")
    print(f"accuracy on test images        {accuracy(network, test):.4f} of {len(test.label)}")


if __name__ == "__main__":
    main()
