"""Fit the measured annotator's perceptrons on whole tiles (knowlip/annotators/measured/overall.py).

    python -m benchmarks.fit_measured_overall values DATASET OUT.npz [--seed 0]
    python -m benchmarks.fit_measured_overall real SSDD OUT.npz
    python -m benchmarks.fit_measured_overall fit VALUES.npz [MORE.npz] [--out knowlip/annotators/measured]

DATASET must be simulated with seeds that neither the network was fitted on nor anything is measured on. `values` looks
at its tiles, those with targets several times (as they are; in another brightness, contrast and turn; without the
small tiles), and keeps the numbers and the truth of those that may hold targets. `fit` writes the perceptrons and how
often answers of each probability are true (calibration.json). `real` looks at the fit half of SSDD, whose ships are
counted and placed but have no known size and type; it is no part of
the calibration. Needs PyTorch; the annotator does not.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from torch import Tensor, nn
from torch.nn import functional as f

from benchmarks.measured_samples import real_samples
from benchmarks.ssdd_measured import location_holds
from knowlip.annotators.detail import Details
from knowlip.annotators.measured import overall
from knowlip.annotators.measured.locate import regions_of
from knowlip.annotators.measured.measure import look
from knowlip.annotators.measured.mentions import DOUBT
from knowlip.annotators.measured.overall import HEADS, HIDDEN, LENGTHS, MEMBERS, PATTERNS
from knowlip.annotators.measured.statistics import NUMBERS, SOME, STATISTICS, TOTAL
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SHIP_TYPES, TARGET_CATEGORIES, region_of
from knowlip.dataset import Dataset
from knowlip.language.definitions import CROSS_FROM_M, ELONGATED_FROM_M, LENGTH_TOLERANCE, arrangement, count_holds

Arrays = dict[str, np.ndarray]
_REAL = 9
"""Number of a look at a real image."""


def truth_of(objects: list[dict[str, Any]], category: str) -> list[float]:
    """Classes of count, length, type and pattern; -1 where the question has no answer."""
    mine = [item for item in objects if item["category"] == category]
    count = min(len(mine), SOME)
    if not mine:
        return [count, -1, -1, -1]
    length = float(np.median([item["length_m"] for item in mine]))
    names = [kind.name for kind in (SHIP_TYPES if category == "ship" else AIRCRAFT_TYPES)]
    kind = names.index(Counter(item["type"] for item in mine).most_common(1)[0][0])
    pattern = arrangement([(item["x"], item["y"]) for item in mine])
    at = int(np.clip(np.searchsorted(LENGTHS, length, side="right") - 1, 0, len(LENGTHS) - 2))
    return [count, at, kind, PATTERNS.index(pattern) if pattern in PATTERNS else -1]


def changed(image: NDArray[np.uint8], by: tuple[float, float], turn: int) -> NDArray[np.uint8]:
    """The image in another contrast and brightness, turned by quarter turns and mirrored from 4 on."""
    grey = (image.astype(np.float32) - 128) * by[0] + 128 + by[1]
    grey = np.rot90(np.where(image > 0, np.clip(grey, 1, 255), 0).astype(np.uint8), turn % 4)
    return np.ascontiguousarray(grey[:, ::-1] if turn >= 4 else grey)


def place_of(x: float, y: float, turn: int) -> tuple[float, float]:
    """Where a point of the image, in fractions, lies after :func:`changed`."""
    for _ in range(turn % 4):
        x, y = y, 1 - x
    return (1 - x if turn >= 4 else x), y


def values(folder: Path, out: Path, seed: int, looks: int) -> None:
    """Look at the tiles of a data set and keep what the perceptrons learn from."""
    dataset, rng = Dataset(folder), np.random.default_rng(seed)
    truths, details = dataset.truth(), Details(dataset)
    rows: list[tuple[Any, ...]] = []
    for row in dataset.tiles().sort_values(["root_id", "tile_id"]).to_dict("records"):
        image = dataset.image(row["tile_id"])
        tile = {str(key): value for key, value in row.items()}
        detail = details.of(tile, image)
        objects = truths[row["tile_id"]]["objects"]
        for number in range(looks if objects else 1):
            turn = int(rng.integers(8))
            by = (rng.normal(1, 0.05), rng.normal(0, 5)) if number else (1.0, 0.0)
            fine = None if detail is None or number == 2 else changed(detail, by, turn)
            seen = look(changed(image, by, turn), row["metres_per_pixel"], fine)
            if seen.values is None:
                continue
            mine = [item for item in objects if item["category"] == seen.category]
            regions, placed = regions_of(seen.located)
            at = [region_of(*place_of(item["x"], item["y"], turn)) for item in mine]
            held = location_holds(set(regions), at) if at else False
            facts = [float(len(mine)), float(np.median([item["length_m"] for item in mine])) if mine else 0.0]
            category = TARGET_CATEGORIES.index(seen.category)
            part = [category, row["scene_id"], seen.values, truth_of(objects, seen.category), facts]
            rows.append((*part, [placed, float(held)], number))
    keep(rows, out)


def real(folder: Path, out: Path, seed: int) -> None:
    """Look at the real images that may be fitted on, as if their pixels were of 2.2 to 4 m."""
    rng = np.random.default_rng(seed)
    samples = real_samples(folder)
    rows: list[tuple[Any, ...]] = []
    for at, square in enumerate(samples["images"]):
        height, width = np.flatnonzero(square.any(axis=1)).max() + 1, np.flatnonzero(square.any(axis=0)).max() + 1
        mine = samples["targets"][samples["targets"][:, 7] == at]
        points = [(x * len(square) / width, y * len(square) / height) for x, y in mine[:, :2]]
        for number in range(2):
            turn = int(rng.integers(8))
            by = (rng.normal(1, 0.05), rng.normal(0, 5)) if number else (1.0, 0.0)
            seen = look(
                changed(square[:height, :width], by, turn), 3.0 * (2 ** rng.uniform(-0.45, 0.45) if number else 1)
            )
            if seen.values is None or seen.category != "ship":
                continue
            pattern = arrangement([place_of(x, y, turn) for x, y in points])
            truth = [min(len(points), SOME), -1, -1, PATTERNS.index(pattern) if pattern in PATTERNS else -1]
            rows.append((0, f"real {at}", seen.values, truth, [float(len(points)), 0.0], [0.0, 0.0], _REAL))
    keep(rows, out)


def keep(rows: list[tuple[Any, ...]], out: Path) -> None:
    """Write the looks at tiles."""
    category, scene, numbers, truth, facts, placed, number = (np.array(part) for part in zip(*rows))
    np.savez_compressed(
        out,
        category=category,
        scene=scene,
        values=numbers.astype(np.float32),
        truth=truth.astype(np.int64),
        facts=facts,
        placed=placed,
        number=number,
    )
    print(f"{len(rows)} looks", flush=True)


def loss_of(scores: Tensor, truth: Tensor) -> Tensor:
    """Sum of the questions' cross-entropies, each over the tiles that answer it."""
    terms = torch.zeros(())
    for number, part in enumerate(scores.split(list(HEADS.values()), dim=1)):
        known = truth[:, number] >= 0
        if known.any():
            terms = terms + f.cross_entropy(part[known], truth[known, number], label_smoothing=0.02)
    return terms


class Perceptron(nn.Module):
    """As `overall.Member`; noise on the inputs and dropout stand against learning single tiles by heart."""

    def __init__(self, centre: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.centre, self.scale = centre, scale
        self.first, self.second = nn.Linear(STATISTICS, HIDDEN), nn.Linear(HIDDEN, sum(HEADS.values()))
        self.numbers = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, values: Tensor) -> Tensor:
        x = ((values - self.centre) / self.scale).clamp(-4.0, 4.0)
        if self.training:
            x = x + 0.2 * torch.randn(x.shape)
        scores = self.second(f.dropout(torch.relu(self.first(x)), 0.4, self.training))
        return torch.cat([scores[:, : SOME + 1] + self.numbers * values[:, NUMBERS], scores[:, SOME + 1 :]], dim=1)

    def flat(self) -> list[np.ndarray]:
        """Its numbers in the order of `overall.Member`."""
        layers = [(layer.weight.detach().T, layer.bias.detach()) for layer in (self.first, self.second)]
        return [part.numpy().ravel() for pair in layers for part in pair] + [self.numbers.detach().numpy()]


def fitted(model: Perceptron, values: Tensor, truth: Tensor, epochs: int, seed: int) -> Perceptron:
    """Fit one perceptron."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    batch = 128
    steps = epochs * max(1, len(values) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    torch.manual_seed(seed)
    for _ in range(steps):
        rows = torch.randint(len(values), (batch,))
        loss = loss_of(model(values[rows]), truth[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def fit(paths: list[Path], out: Path, epochs: int) -> None:
    """Fit all members for both categories, each without a quarter of the scenes, and write their weights.

    The tiles of that quarter tell how often answers of each probability are true: that is the calibration.
    """
    parts = [dict(np.load(path)) for path in paths]
    names = ("category", "scene", "values", "truth", "facts", "placed", "number")
    data = {name: np.concatenate([part[name] for part in parts]) for name in names}
    seeds = np.concatenate([np.full(len(part["category"]), n) for n, part in enumerate(parts)])
    scenes = np.array([f"{seed} {scene}" for seed, scene in zip(seeds, data["scene"])])
    folds = np.unique(scenes, return_inverse=True)[1] % MEMBERS
    flat: list[np.ndarray] = []
    tables = {}
    for number, name in enumerate(TARGET_CATEGORIES):
        chosen = data["category"] == number
        raw, truth, fold = data["values"][chosen], torch.from_numpy(data["truth"][chosen]), folds[chosen]
        centre, scale = raw.mean(0), np.maximum(raw.std(0), 0.05)
        known = data["facts"][chosen][:, 0]
        ratio = (np.log(known.clip(1)) - raw[:, TOTAL])[(known >= SOME) & (data["number"][chosen] != _REAL)]
        many = np.array([np.median(ratio), np.percentile(abs(ratio - np.median(ratio)), 68)], np.float32)
        flat += [centre, scale, many]
        values, scores = torch.from_numpy(raw), torch.zeros(len(raw), sum(HEADS.values()))
        for member in range(MEMBERS):
            rest, left = (torch.from_numpy(np.flatnonzero((fold == member) == own)) for own in (False, True))
            torch.manual_seed(member)
            model = Perceptron(torch.from_numpy(centre), torch.from_numpy(scale))
            fitted(model, values[rest], truth[rest], epochs, member)
            with torch.no_grad():
                scores[left] = model(values[left])
                print(name, len(raw), member, f"loss {loss_of(scores[left], truth[left]):.3f}", flush=True)
            flat += model.flat()
        plain = data["number"][chosen] == 0
        part = {key: data[key][chosen][plain] for key in ("facts", "placed", "truth", "values")}
        photos = data["number"][chosen] == _REAL
        if photos.any():
            right = [
                count_holds(number_said(name, row, at, many), int(facts[0]))
                for row, at, facts in zip(scores.numpy()[photos], raw[photos], data["facts"][chosen][photos])
            ]
            print(f"  {name} Count on real images: {np.mean(right):.3f} true of {len(right)}", flush=True)
        tables[name] = calibration(name, scores.numpy()[plain], part, many)
    np.save(out / "overall.npy", np.concatenate(flat).astype(np.float16))
    (out / "calibration.json").write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")


def chances_of(scores: np.ndarray, values: np.ndarray, many: np.ndarray) -> Arrays:
    """Question -> probabilities, as `overall.probabilities` for one member's scores."""
    parts = dict(zip(HEADS, np.split(scores, np.cumsum(list(HEADS.values()))[:-1])))
    chances = {name: np.exp(part - part.max()) / np.exp(part - part.max()).sum() for name, part in parts.items()}
    return {**chances, "count": overall.numbers_of(chances["count"], float(values[TOTAL]), many)}


def number_said(category: str, scores: np.ndarray, values: np.ndarray, many: np.ndarray) -> int:
    """How many targets the texts would speak of."""
    none, answers = overall.answers_of(category, chances_of(scores, values, many))
    return 0 if none > DOUBT else answers.number


def calibration(
    category: str, scores: np.ndarray, data: Arrays, many: np.ndarray
) -> dict[str, tuple[list[float], list[float]]]:
    """How often answers of each probability are true, a rising table for each dimension."""
    chances: list[tuple[str, float, bool]] = []
    for at in range(len(scores)):
        none, answers = overall.answers_of(category, chances_of(scores[at], data["values"][at], many))
        count, length = data["facts"][at]
        if none > DOUBT:
            continue
        truth = data["truth"][at]
        kinds = [kind.name for kind in (SHIP_TYPES if category == "ship" else AIRCRAFT_TYPES)]
        pattern = "none" if count == 0 else "single" if count == 1 else PATTERNS[truth[3]]
        limit = ELONGATED_FROM_M if category == "ship" else CROSS_FROM_M
        true = {
            "Count": count_holds(answers.number, int(count)),
            "Location": bool(data["placed"][at, 1]),
            "Size": count > 0 and abs(answers.length_m - length) <= LENGTH_TOLERANCE * length,
            "Feature": count > 0 and answers.resolved == (length >= limit),
            "Category": count > 0 and answers.type == kinds[truth[2]],
            "Distribution": answers.pattern == pattern,
        }
        sure = {**answers.sure, "Location": (1.0 - none) * float(data["placed"][at, 0])}
        chances += [(name, sure[name], bool(true[name])) for name in true]
    tables = {}
    for name in dict.fromkeys(name for name, _, _ in chances):
        chance, right = (np.array([row[k] for row in chances if row[0] == name], float) for k in (1, 2))
        print(f"  {category} {name}: {right.mean():.3f} true of {len(right)}, said {chance.mean():.3f}", flush=True)
        tables[name] = rising(chance, right)
    return tables


def rising(chance: np.ndarray, right: np.ndarray) -> tuple[list[float], list[float]]:
    """An isotonic fit at tenths of the data, so that few tiles do not make a step."""
    order = np.argsort(chance, kind="stable")
    groups = np.array_split(order, max(2, min(10, len(order) // 40)))
    middle = [float(chance[group].mean()) for group in groups]
    share = IsotonicRegression(out_of_bounds="clip").fit_transform(
        middle, [float((right[group].sum() + 1) / (len(group) + 2)) for group in groups]
    )
    return [round(value, 4) for value in middle], [round(float(value), 4) for value in share]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest="task", required=True)
    first = tasks.add_parser("values")
    first.add_argument("dataset", type=Path)
    first.add_argument("out", type=Path)
    first.add_argument("--seed", type=int, default=0)
    first.add_argument("--looks", type=int, default=3, help="times that a tile with targets is looked at")
    third = tasks.add_parser("real")
    third.add_argument("ssdd", type=Path)
    third.add_argument("out", type=Path)
    second = tasks.add_parser("fit")
    second.add_argument("values", type=Path, nargs="+")
    second.add_argument("--epochs", type=int, default=250)
    second.add_argument("--out", type=Path, default=Path(overall.__file__).parent, help="folder")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.task == "values":
        values(chosen.dataset, chosen.out, chosen.seed, chosen.looks)
    elif chosen.task == "real":
        real(chosen.ssdd, chosen.out, 0)
    else:
        fit(chosen.values, chosen.out, chosen.epochs)


if __name__ == "__main__":
    main()
