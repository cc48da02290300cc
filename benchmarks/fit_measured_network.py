"""Fit the measured annotator's convolutional network (knowlip/annotators/measured/network.py) on simulated scenes.

    python -m benchmarks.fit_measured_network SAMPLES [MORE] [--minutes 40] [--ssdd SSDD] [--out weights.onnx]

SAMPLES come from `python -m benchmarks.measured_samples`. Crops are drawn at 1 to 8 m a pixel, turned and mirrored, in
another brightness, contrast, sharpness, noise and number of looks each, so that no exact level of the simulator is
learned. With `--ssdd` every fourth crop is of real images of ships, of which one half alone is read. The state
is kept beside OUT every minute; the same command goes on from it. Needs PyTorch and onnx; the annotator does not.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as f
from torch.utils.data import DataLoader, IterableDataset

from benchmarks.measured_samples import real_samples
from knowlip.annotators.measured.network import CELL, CHANNELS, HEADS, MULTIPLE, planes

WIDTHS = (16, 32, 48, 56, 64, 64)
BATCH_PX = 2**20
LEARNING_RATE = 3e-3
DECAY = 0.998
"""Of the running average of the weights, which is what is written."""
REAL_EVERY = 4
"""One crop in so many is of a real image."""
ATTRIBUTES = 8
"""Channels of the point maps: ships, aircraft, weight of the attributes, four sizes, type."""
Arrays = dict[str, np.ndarray]


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class Network(nn.Module):
    """Five halvings down and four doublings up, from 2-pixel cells to 64-pixel ones and back to `CELL` pixels."""

    def __init__(self) -> None:
        super().__init__()
        w = WIDTHS
        self.stem = block(CHANNELS, w[0])
        self.down = nn.ModuleList(nn.Sequential(block(w[i], w[i + 1], 2), block(w[i + 1], w[i + 1])) for i in range(5))
        self.across = nn.ModuleList(nn.Conv2d(w[i + 2], w[i + 1], 1) for i in range(4))
        self.up = nn.ModuleList(block(w[i + 1], w[i + 1]) for i in range(4))
        self.heads = nn.Conv2d(w[1], sum(HEADS.values()), 1)
        with torch.no_grad():
            self.heads.bias[10:12] = -7.0  # targets are rare

    def forward(self, x: Tensor) -> Tensor:
        x, seen = self.stem(x), []
        for layer in self.down:
            x = layer(x)
            seen.append(x)
        for i in (3, 2, 1, 0):
            x = self.up[i](seen[i] + f.interpolate(self.across[i](x), scale_factor=2.0, mode="nearest"))
        return self.heads(x)


def point_maps(targets: np.ndarray, side: int) -> np.ndarray:
    """(side, side, ATTRIBUTES) of targets: x, y in cells, then as in the samples, last how far attributes reach."""
    out = np.zeros((side, side, ATTRIBUTES), np.float32)
    for x, y, length, width, heading, kind, aircraft, reach in targets:
        col, row = min(side - 1, max(0, int(x))), min(side - 1, max(0, int(y)))
        out[row, col, int(aircraft)] += 1
        angle = 2 * np.deg2rad(heading)
        values = (np.log(length / 50), np.log(width / 20), np.cos(angle), np.sin(angle), kind)
        r = int(reach)
        near = out[max(0, row - r) : row + r + 1, max(0, col - r) : col + r + 1]
        near[near[..., 2] < 0.3, 2:] = (0.3, *values)
        out[row, col, 2:] = (1.0, *values)
    return out


def turned(arrays: list[np.ndarray], targets: np.ndarray, side: int, turn: int) -> tuple[list[np.ndarray], np.ndarray]:
    """One of the eight turns and mirror images of squares of `side` and of targets in their pixels."""
    targets = targets.copy()
    for _ in range(turn % 4):
        arrays = [np.rot90(array) for array in arrays]  # counter-clockwise
        targets[:, 0], targets[:, 1] = targets[:, 1].copy(), side - targets[:, 0]
        targets[:, 4] = (targets[:, 4] - 90.0) % 360.0
    if turn >= 4:
        arrays = [array[:, ::-1] for array in arrays]
        targets[:, 0], targets[:, 4] = side - targets[:, 0], -targets[:, 4] % 360.0
    return arrays, targets


def changed(decibel: np.ndarray, span: float, metres: float, rng: np.random.Generator) -> np.ndarray:
    """Grey levels 1 to 255 of a crop in dB: other sharpness, noise, looks, brightness and contrast."""
    x = torch.from_numpy(10 ** (decibel.astype(np.float32) / 10))[None, None]
    if rng.random() < 0.2:  # a coarser sensor, interpolated
        side = max(16, int(x.shape[-1] / rng.uniform(1.2, 3.5)))
        x = f.interpolate(f.interpolate(x, size=(side, side), mode="area"), size=x.shape[-2:], mode="bilinear")
    elif rng.random() < 0.25:
        near = f.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        x = torch.lerp(x, near, float(rng.uniform(0.3, 1.0)))
    power = x[0, 0].numpy()
    if rng.random() < 0.35:
        looks = float(np.exp(rng.uniform(np.log(1.0), np.log(12.0))))
        speckle = rng.gamma(looks, 1 / looks, power.shape).astype(np.float32)
        if rng.random() < 0.4:  # speckle of correlated pixels
            speckle = ndimage.gaussian_filter(speckle, rng.uniform(0.5, 1.5))
        power = power * speckle
    if rng.random() < 0.2:  # side lobes and smeared movers
        axis, size = int(rng.integers(2)), int(rng.integers(7, 80))
        lobes = ndimage.uniform_filter1d(power, size, axis=axis) * (size * 10 ** rng.uniform(-3.0, -0.8))
        power = power + lobes * rng.gamma(1.0, 1.0, power.shape).astype(np.float32)
    if rng.random() < 0.3:
        power = power + np.float32(10 ** rng.uniform(0.0, 1.2))
    grey = 1 + 254 * (10 * np.log10(np.maximum(power, 1e-3)) / span)
    if rng.random() < 0.2:
        grey = 255 * np.clip(grey / 255, 0, 1) ** rng.uniform(0.6, 1.7)
    contrast = rng.normal(1, 0.08) if rng.random() < 0.6 else rng.uniform(0.6, 1.5)
    return np.clip(np.rint((grey - 128) * contrast + 128 + rng.normal(0, 14)), 1, 255)


class Crops(IterableDataset):
    """Endless batches: planes, cover shares, point maps, whether the cover is known."""

    def __init__(self, data: Arrays, real: Arrays | None, seed: int) -> None:
        self.data, self.real, self.seed = data, real, seed

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        worker = torch.utils.data.get_worker_info()
        torch.set_num_threads(1)
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            side = int(rng.choice([256, 512], p=[0.7, 0.3]))
            real = [self.real is not None and rng.integers(REAL_EVERY) == 0 for _ in range(BATCH_PX // side**2)]
            crops = [self.crop(rng, side, drawn) for drawn in real]
            x, cover, points, known = (np.stack(part) for part in zip(*crops, strict=True))
            yield torch.from_numpy(x), torch.from_numpy(cover), torch.from_numpy(points), torch.from_numpy(known)

    def crop(self, rng: np.random.Generator, side: int, real: bool) -> tuple[np.ndarray, ...]:
        data = self.real if real else self.data
        assert data is not None
        at = int(rng.integers(len(data["images"])))
        focus = None
        if rng.random() < 0.65:
            focus = data["targets"][rng.choice(len(data["targets"]), p=data["chance"])]
            at = int(focus[7])
        image, codes = data["images"][at], data["codes"][at]
        full = len(image)
        if real:
            step = float(np.exp(rng.uniform(np.log(0.7), np.log(1.4))))
            metres = 3.0 * step
        else:
            step = 1.0 if rng.random() < 0.5 else float(rng.choice([2.0, 4.0, 2 ** rng.uniform(0, 3)]))
            metres = step
        wide = min(full, round(side * step))
        fit = min(side, int(wide / step) // CELL * CELL)
        low = 0.0 if focus is None else max(0.0, focus[0] * full - 0.98 * wide)
        high = full - wide if focus is None else min(full - wide, focus[0] * full - 0.02 * wide)
        left = int(np.clip(rng.uniform(low, max(low, high)), 0, full - wide))
        low = 0.0 if focus is None else max(0.0, focus[1] * full - 0.98 * wide)
        high = full - wide if focus is None else min(full - wide, focus[1] * full - 0.02 * wide)
        top = int(np.clip(rng.uniform(low, max(low, high)), 0, full - wide))
        window = (slice(top, top + wide), slice(left, left + wide))
        span = float(data["decibels"][at])
        image, codes = image[window], codes[window]
        decibel = (image.astype(np.float32) - 1) / 254 * span
        hole = image == 0
        if fit != wide:
            power = torch.from_numpy(10 ** (decibel / 10) * ~hole)[None, None]
            mode = {"mode": "area"} if fit < wide else {"mode": "bilinear", "align_corners": False}
            decibel = 10 * torch.log10(f.interpolate(power, size=(fit, fit), **mode)[0, 0].clamp_min(1.0)).numpy()
            pick = ((np.arange(fit) + 0.5) * wide / fit).astype(int)
            hole = hole[np.ix_(pick, pick)]
        pick = ((np.arange(fit // 2) + 0.5) * wide / (fit // 2)).astype(int)
        codes = codes[np.ix_(pick, pick)]
        mine = data["targets"][data["targets"][:, 7] == at].copy()
        mine[:, 0] = (mine[:, 0] * full - left) * fit / wide
        mine[:, 1] = (mine[:, 1] * full - top) * fit / wide
        mine = mine[((mine[:, :2] >= 0) & (mine[:, :2] < fit)).all(axis=1)]
        grey = np.where(hole, 0, changed(decibel, span, metres, rng)).astype(np.uint8)
        codes = codes.repeat(2, 0).repeat(2, 1)
        (grey, codes), mine = turned([grey, codes], mine, fit, int(rng.integers(8)))
        canvas, cover = np.zeros((side, side), np.uint8), np.zeros((side, side), np.uint8)
        canvas[:fit, :fit], cover[:fit, :fit] = grey, codes
        cells = side // CELL
        shares = np.eye(11, dtype=np.float32)[cover[1::2, 1::2]].reshape(cells, CELL // 2, cells, CELL // 2, 11)
        shares = shares.mean((1, 3))[..., 1:]
        mine[:, :2] /= CELL
        mine[:, 7] = np.clip(np.rint(0.12 * mine[:, 2] / (metres * CELL)), 1, 6)  # how far the attributes reach
        points = point_maps(mine, cells)
        if real:
            points[..., 2] = 0.0
        return planes(canvas, metres), shares.transpose(2, 0, 1), points.transpose(2, 0, 1), np.float32(not real)


def loss_of(out: Tensor, cover: Tensor, points: Tensor, known: Tensor) -> dict[str, Tensor]:
    """Cross-entropy of the cover, Poisson likelihood of the targets, and near them error of size and type."""
    out = out.float()
    area = out.shape[0] * out.shape[2] * out.shape[3] / 4096  # in crops of 256 pixels
    shares = -(cover * f.log_softmax(out[:, :10], 1)).sum(1) * known[:, None, None]
    rate = f.softplus(out[:, 10:12]) + 1e-7
    poisson = rate - points[:, :2] * torch.log(rate)
    near = points[:, 2]
    total = near.sum() + 1.0
    sizes = ((out[:, 12:16] - points[:, 3:7]).abs().sum(1) * near).sum() / total
    kinds = (f.cross_entropy(out[:, 16:], points[:, 7].long(), reduction="none") * near).sum() / total
    return {
        "cover": shares.mean(),
        "rate": poisson.sum() / area / 60,
        "size": 0.4 * sizes,
        "type": 0.3 * kinds,
    }


def loaded(folders: list[Path]) -> Arrays:
    """Samples of several folders as one; targets with their sample's number, and how often each is looked at."""
    names = ("images", "codes", "decibels")
    parts: dict[str, list[Any]] = {name: [] for name in (*names, "targets")}
    count = 0
    for folder in folders:
        arrays = {name: np.load(folder / f"{name}.npy") for name in (*names, "targets", "owner")}
        for name in names:
            parts[name].append(arrays[name])
        parts["targets"].append(np.column_stack([arrays["targets"], arrays["owner"] + count]))
        count += len(arrays["images"])
    return with_chances({name: np.concatenate(value) for name, value in parts.items()})


def with_chances(data: Arrays) -> Arrays:
    """Crops look at the samples with targets evenly, and at both categories."""
    owner = data["targets"][:, 7].astype(int)
    chance = 1 / np.sqrt(np.bincount(owner, minlength=len(data["images"]))[owner])
    aircraft = data["targets"][:, 6] == 1
    for group in (aircraft, ~aircraft):
        if group.any():
            chance[group] /= chance[group].sum()
    return {**data, "chance": chance / chance.sum()}


def write(network: Network, out: Path) -> None:
    """As ONNX, weights as 16-bit floats."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    part = out.with_suffix(".part.onnx")
    example = torch.zeros(1, CHANNELS, MULTIPLE, MULTIPLE)
    axes = {"x": {0: "n", 2: "h", 3: "w"}, "y": {0: "n", 2: "h4", 3: "w4"}}
    names: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes}
    torch.onnx.export(network.eval(), (example,), str(part), dynamo=False, opset_version=17, **names)
    model = onnx.load(part)
    part.unlink()
    kept, casts = [], []
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and int(np.prod(tensor.dims)) > 1:
            half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name + "_half")
            casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
            kept.append(half)
        else:
            kept.append(tensor)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
    onnx.checker.check_model(model)
    onnx.save(model, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("samples", type=Path, nargs="+")
    parser.add_argument("--ssdd", type=Path)
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--rate", type=float, default=LEARNING_RATE, help="largest learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--start", type=Path, help="state of an earlier fit whose weights to begin with")
    parser.add_argument("--out", type=Path, default=Path("knowlip/annotators/measured/weights.onnx"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    data = loaded(arguments.samples)
    real = with_chances(real_samples(arguments.ssdd)) if arguments.ssdd else None
    print(len(data["images"]), "windows", len(data["targets"]), "targets", flush=True)
    network, state = Network().to(memory_format=torch.channels_last), arguments.out.with_suffix(".state")
    print(sum(p.numel() for p in network.parameters()), "numbers", flush=True)
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(DECAY), use_buffers=True
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=0.02)
    step, spent = 0, 0.0
    if state.exists():
        kept = torch.load(state)
        for part, name in ((network, "network"), (average, "average"), (optimiser, "optimiser")):
            part.load_state_dict(kept[name])
        step, spent = kept["step"], kept["spent"]
    elif arguments.start:
        kept = torch.load(arguments.start)
        network.load_state_dict({k.removeprefix("module."): v for k, v in kept["average"].items() if k != "n_averaged"})
    batches = DataLoader(Crops(data, real, step), batch_size=None, num_workers=1, prefetch_factor=4)
    started, saved, sums = time.monotonic(), time.monotonic(), dict.fromkeys(("cover", "rate", "size", "type"), 0.0)
    for x, cover, points, known in batches:
        done = (spent + time.monotonic() - started) / (60 * arguments.minutes)
        if done >= 1.0:
            break
        rate = arguments.rate * min(1.0, (step + 1) / 200, max(0.002, (1.0 - done) / 0.6))
        for group in optimiser.param_groups:
            group["lr"] = rate
        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            out = network(x.to(memory_format=torch.channels_last))
        terms = loss_of(out, cover, points, known)
        optimiser.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(network.parameters(), 3.0)
        optimiser.step()
        average.update_parameters(network)
        step += 1
        for name, term in terms.items():
            sums[name] += float(term.detach())
        if step % 50 == 0:
            print(step, f"{done:.3f}", {name: round(value / 50, 4) for name, value in sums.items()}, flush=True)
            sums = dict.fromkeys(sums, 0.0)
        if time.monotonic() - saved > 60:
            saved = time.monotonic()
            kept = {"network": network.state_dict(), "average": average.state_dict(), "step": step}
            kept |= {"optimiser": optimiser.state_dict(), "spent": spent + saved - started}
            torch.save(kept, state.with_suffix(".part"))
            state.with_suffix(".part").replace(state)
    kept = {"network": network.state_dict(), "average": average.state_dict(), "step": step}
    torch.save(kept | {"optimiser": optimiser.state_dict(), "spent": 60 * arguments.minutes}, state)
    write(average.module, arguments.out)
    print(f"{step} steps, {arguments.out.stat().st_size} bytes", flush=True)


if __name__ == "__main__":
    main()
