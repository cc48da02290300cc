"""Fit the annotator's perceptrons (knowlip/annotators/measured/network.py) on calibration scenes of the simulator.

    python -m benchmarks.fit_measured_network SAMPLES.npz [MORE.npz] [--out knowlip/annotators/measured/weights.npy]

SAMPLES come from `python -m benchmarks.measured_samples`. Needs PyTorch; the annotator does not. Each tile is changed
in brightness and contrast at random, so that no exact level of the simulator is learned, and gives some cells: all
around targets, and others at random, which count for those left out.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as f

from benchmarks.measured_samples import SIDE
from knowlip.annotators.measured.features import cell_features
from knowlip.annotators.measured.network import (
    HEADS,
    LAYERS,
    condition_vector,
    seen_around,
    squeeze,
    surroundings,
)

GRID = 32
CELLS_A_TILE = 112
BATCH = 2048
LEARNING_RATE = 3e-3
Arrays = dict[str, np.ndarray]


def point_maps(targets: np.ndarray) -> np.ndarray:
    """(GRID, GRID, 8): ships and aircraft a cell, weight of the attributes, four sizes, type number."""
    out = np.zeros((GRID, GRID, 8), np.float32)
    for x, y, length, width, heading, kind, aircraft in targets:
        col, row = min(GRID - 1, max(0, int(x * GRID))), min(GRID - 1, max(0, int(y * GRID)))
        out[row, col, int(aircraft)] += 1
        angle = 2 * np.deg2rad(heading)
        for r in range(max(0, row - 1), min(GRID, row + 2)):
            for c in range(max(0, col - 1), min(GRID, col + 2)):
                weight = 1.0 if (r, c) == (row, col) else 0.3
                if out[r, c, 2] < weight:
                    out[r, c, 2:] = (
                        weight,
                        np.log(length / 50),
                        np.log(width / 20),
                        np.cos(angle),
                        np.sin(angle),
                        kind,
                    )
    return out


def samples(paths: list[Path], rng: np.random.Generator) -> Arrays:
    """Cells with their inputs and truth, `tile` and `at` telling where they lie; `dense` all inputs of every tile."""
    names = ("tile", "at", "cover", "point", "weight", "dense", "condition")
    parts: dict[str, list[Any]] = {name: [] for name in names}
    eye = np.eye(11, dtype=np.float32)
    count = 0
    for path in paths:
        loaded = np.load(path)
        part = {name: loaded[name] for name in ("images", "codes", "about", "owner", "targets")}
        for number, image in enumerate(part["images"]):
            grey = image.astype(np.float32)
            grey = np.where(grey > 0, np.clip((grey - 128) * rng.normal(1, 0.06) + 128 + rng.normal(0, 6), 1, 255), 0)
            mpp = float(part["about"][number, 0])
            cells = cell_features(grey.astype(np.uint8), mpp)
            about = part["about"][number, 1:].copy()
            about[2:] *= np.where(rng.random(2) < 0.1, -1.0, 1.0) * (rng.random() < 0.75)
            about[:2] *= rng.random() < 0.85
            block = SIDE // GRID
            cover = eye[part["codes"][number]].reshape(GRID, block, GRID, block, 11).mean((1, 3))
            point = point_maps(part["targets"][part["owner"] == number])
            busy = (point[..., 2] > 0).ravel()
            others = rng.permutation(np.flatnonzero(~busy))[:CELLS_A_TILE]
            chosen = np.concatenate([np.flatnonzero(busy), others])
            weight = np.where(busy[chosen], 1.0, (~busy).sum() / len(others))
            parts["tile"].append(np.full(len(chosen), count))
            parts["at"].append(chosen)
            parts["cover"].append(cover.reshape(-1, 11)[chosen, 1:])
            parts["point"].append(point.reshape(-1, 8)[chosen])
            parts["weight"].append(weight / (GRID * GRID) * CELLS_A_TILE)
            parts["dense"].append(surroundings(cells).reshape(GRID * GRID, -1).astype(np.float16))
            parts["condition"].append(condition_vector(cells.cell_px * mpp, cells.noise, *about))
            count += 1
    stacked = ("dense", "condition")
    return {name: np.stack(value) if name in stacked else np.concatenate(value) for name, value in parts.items()}


def inputs_of(data: Arrays) -> np.ndarray:
    """(N, INPUTS) what the first perceptron sees of the chosen cells."""
    x = data["dense"][data["tile"], data["at"]].astype(np.float32)
    return np.concatenate([x, data["condition"][data["tile"]]], axis=1)


def perceptron(prefix: str) -> nn.Sequential:
    sizes = [LAYERS[f"{prefix}{number}"] for number in (1, 2, 3)]
    layers: list[nn.Module] = []
    for inputs, outputs in sizes:
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    with torch.no_grad():
        layers[-2].bias[10:12] = -6.0  # targets are rare
    return nn.Sequential(*layers[:-1])


def loss_of(out: Tensor, cover: Tensor, point: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of the cover, Poisson likelihood of the targets, and near them error of size and type."""
    terms = (-(cover * f.log_softmax(out[:, :10], 1)).sum(1) * weight).mean()
    rate = f.softplus(out[:, 10:12])
    terms = terms + 10.0 * ((rate - point[:, :2] * torch.log(rate + 1e-6)).sum(1) * weight).mean()
    if out.shape[1] == sum(HEADS.values()):
        near = point[:, 2]
        total = near.sum() + 1e-3
        terms = terms + 0.3 * ((out[:, 12:16] - point[:, 3:7]).abs().sum(1) * near).sum() / total
        kinds = f.cross_entropy(out[:, 16:], point[:, 7].long(), reduction="none")
        terms = terms + 0.2 * (kinds * near).sum() / total
    return terms


def train(x: np.ndarray, data: Arrays, prefix: str, epochs: int) -> nn.Sequential:
    model = perceptron(prefix)
    tensors = [torch.from_numpy(data[name].astype(np.float32)) for name in ("cover", "point", "weight")]
    inputs = torch.from_numpy(x)
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    steps = epochs * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    started = time.time()
    for epoch in range(epochs):
        order, total = torch.randperm(len(x)), 0.0
        for start in range(0, len(x) - BATCH + 1, BATCH):
            rows = order[start : start + BATCH]
            loss = loss_of(model(inputs[rows]), *(tensor[rows] for tensor in tensors))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        print(prefix, epoch, f"{time.time() - started:.0f} s, loss {total / (len(x) // BATCH):.4f}", flush=True)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("samples", type=Path, nargs="+")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("knowlip/annotators/measured/weights.npy"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    data = samples(arguments.samples, np.random.default_rng(0))
    x = inputs_of(data)
    print(x.shape, flush=True)
    # the second perceptron must see the first as it is on tiles that were not fitted: each half is seen by the other's
    halves = np.arange(len(data["dense"])) // max(1, len(data["dense"]) // 8) % 2
    around = np.zeros((len(x), 60), np.float32)
    for half in (0, 1):
        chosen = halves[data["tile"]] == half
        part = {name: value[chosen] for name, value in data.items() if name in ("cover", "point", "weight")}
        model = train(x[chosen], part, "first", max(2, arguments.epochs // 2))
        fill_around(around, data, model, np.flatnonzero(halves != half))
    first = train(x, data, "first", arguments.epochs)
    second = train(np.concatenate([x, around], axis=1), data, "second", arguments.epochs)
    flat = []
    for model in (first, second):
        for layer in model:
            if isinstance(layer, nn.Linear):
                flat += [layer.weight.detach().numpy().T.ravel(), layer.bias.detach().numpy()]
    np.save(arguments.out, np.concatenate(flat).astype(np.float16))
    print(f"{sum(map(len, flat))} numbers")


def fill_around(around: np.ndarray, data: Arrays, model: nn.Sequential, tiles: np.ndarray) -> None:
    """Write the first perceptron's view around the chosen cells of some tiles."""
    starts = np.searchsorted(data["tile"], np.arange(len(data["dense"]) + 1))
    for tile in tiles:
        x = data["dense"][tile].astype(np.float32)
        x = np.concatenate([x, np.broadcast_to(data["condition"][tile], (len(x), 7))], axis=1)
        with torch.no_grad():
            out = model(torch.from_numpy(x)).numpy()
        seen = seen_around(squeeze(out.reshape(GRID, GRID, -1))).reshape(GRID * GRID, -1)
        rows = slice(starts[tile], starts[tile + 1])
        around[rows] = seen[data["at"][rows]]


if __name__ == "__main__":
    main()
