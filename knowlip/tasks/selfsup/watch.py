"""What a tower has learned so far, without training anything on it: its nearest neighbours, and how many directions its
summaries have.

Neighbours: tiles that are learned from and have a class vote about tiles with a class that nothing is learned from and
that are no near copies of one that votes (:mod:`knowlip.dataset.near_duplicates`). Classes serve to count alone. Beside
the curve stand the same tiles by their pixels, by the most frequent class, and the tower as it began.

Directions: the effective rank of the summaries (RankMe: Garrido et al., ICML 2023), which needs no class; a tower that
says the same of everything has 1.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypedDict, cast

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from knowlip.base.documents import read_json
from knowlip.base.files import whole_file, write_json
from knowlip.base.progress import say
from knowlip.dataset import Dataset
from knowlip.dataset.near_duplicates import thumbnail
from knowlip.models.encoders.vision import VisionEncoder
from knowlip.models.vision_model import VisionModel
from knowlip.pages import charts
from knowlip.tasks.classifier import Classifier, summaries
from knowlip.tasks.labelled import labels
from knowlip.tasks.protocols import tile_groups
from knowlip.tasks.selfsup.seen import SeenTiles, apart
from knowlip.tasks.selfsup.settings import SelfSupConfig

START: Final = "knn.json"
"""Of a run: the curve's first point, its floors, how many tiles."""
_MOST_RANKED: Final = 512
"""Tiles whose summaries' rank is taken."""


class Start(TypedDict):
    """Where a curve begins."""

    asked: int
    neighbours: int
    """Tiles that may vote."""
    classes: int
    copies_left_out: int
    """Tiles with a class that are near copies of one that votes."""
    random_init: dict[str, float]
    """The tower as it began."""
    floors: dict[str, float]
    note: str
    """Why there is no curve; "" where there is one."""


@dataclass
class Watch:
    """The tiles that are asked about, and those that vote."""

    pixels: np.ndarray
    """(tiles, S, S) uint8 as the training has them."""
    learn: np.ndarray
    """Numbers of the tiles that vote."""
    ask: np.ndarray
    names: np.ndarray
    """Class of each tile; "" for none."""
    ranked: np.ndarray
    """Numbers of the tiles whose summaries' rank is taken."""
    neighbours: int
    copies: int
    note: str
    tile_ids: Sequence[str]
    dataset: Dataset

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        config: SelfSupConfig,
        seen: SeenTiles,
        tile_ids: Sequence[str],
        pixels: np.ndarray,
        cache: Path,
    ) -> "Watch":
        """Choose the tiles.

        Args:
            dataset: the data set.
            config: how many.
            seen: what is learned from, what is kept aside.
            tile_ids: of the pixels.
            pixels: as the training has them.
            cache: folder for the groups of copies.
        """
        number = {name: place for place, name in enumerate(tile_ids)}
        chance, most = np.random.default_rng([config.seed, 7]), config.knn_tiles
        ranked = np.sort(chance.permutation(len(seen.train))[:_MOST_RANKED])
        learn = _some([name for name in seen.train if name in seen.class_of], 2 * most, chance)
        ask, copies, note = _some(seen.aside, most, chance), 0, ""
        if config.knn_every and learn and ask:
            both = sorted({*learn, *ask})
            groups, place = tile_groups(dataset, both, cache), {name: at for at, name in enumerate(both)}
            mine, theirs = (np.array([place[name] for name in some]) for some in (learn, ask))
            kept = apart(mine, theirs, groups)
            copies, ask = len(ask) - len(kept), [both[at] for at in kept]
        classes = {seen.class_of[name] for name in learn}
        if len(classes) < 2 or len(learn) < config.neighbours:
            note = f"{len(learn)} tiles that are learned from have one of {len(classes)} classes"
        elif not ask:
            note = "no tile with a class is kept aside" if not copies else "all tiles aside are copies of learned ones"
        names = np.array([seen.class_of.get(name, "") for name in tile_ids], dtype=object)
        voting, asked = (np.array([number[name] for name in some], int) for some in (learn, ask))
        trained = np.array([number[seen.train[at]] for at in ranked])
        return cls(pixels, voting, asked, names, trained, config.neighbours, copies, note, tile_ids, dataset)

    def begin(self, tower: VisionModel, out: Path) -> None:
        """Measure the tower as it begins and the floors, and write them."""
        start: Start = {
            "asked": len(self.ask),
            "neighbours": len(self.learn),
            "classes": len({*self.names[self.learn].tolist()}),
            "copies_left_out": self.copies,
            "random_init": self.figures(tower),
            "floors": {} if self.note else self.floors(),
            "note": self.note,
        }
        write_json(out / START, start)
        if self.note:
            say(f"The log has no curve of neighbours: {self.note}.")
        else:
            told = ", ".join(f"{name} {value:.3f}" for name, value in start["floors"].items())
            say(f"k-NN of {len(self.ask)} tiles: {start['random_init']['knn']:.3f} before the training; {told}")

    def floors(self) -> dict[str, float]:
        """The same tiles without a model."""
        most = Counter(self.names[self.learn].tolist()).most_common(1)[0][0]
        both = [self.tile_ids[at] for at in (*self.learn, *self.ask)]
        small = np.stack([thumbnail(pixels).ravel() for pixels in self.dataset.images(both)])
        nearest = (small[len(self.learn) :] @ small[: len(self.learn)].T).argmax(1)
        right = self.names[self.learn][nearest] == self.names[self.ask]
        return {
            "majority class": float((self.names[self.ask] == most).mean()),
            "pixels, 1-NN": float(right.mean()),
        }

    @torch.inference_mode()
    def figures(self, tower: VisionModel) -> dict[str, float]:
        """`knn`, the share of tiles that neighbours are right about, where there are classes; `rank`."""
        weight = next(tower.visual_encoder.parameters())
        encoder = VisionEncoder("training", tower.eval())
        found = {"rank": effective_rank(summaries(encoder, self.pixels[self.ranked], weight.device))}
        if self.note:
            return found
        known, asked = (summaries(encoder, self.pixels[some], weight.device) for some in (self.learn, self.ask))
        classes = sorted({*self.names[self.learn].tolist()})
        votes = Classifier(encoder, classes, "knn", neighbours=self.neighbours, known=len(self.learn)).eval()
        votes.standardise(known)
        votes.remember(known, labels(self.names[self.learn].tolist(), classes))
        said = np.array(classes, dtype=object)[votes.logits(asked).argmax(1).numpy()]
        return {"knn": float((said == self.names[self.ask]).mean()), **found}

    def finish(self, out: Path, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Draw the curve; what it began with and came to."""
        start = cast(dict[str, Any], read_json(out / START)) if (out / START).is_file() else {}
        points = [(line["step"], line["knn"]) for line in lines if line.get("knn") is not None]
        if start and points:
            (out / "pictures").mkdir(exist_ok=True)
            first = [(0, start["random_init"]["knn"])] if "knn" in start["random_init"] else []
            with whole_file(out / "pictures" / "knn.png") as part:
                part.write_bytes(draw_curve([*first, *points], start["floors"], start["asked"]))
        return {**start, "knn": points[-1][1] if points else None}


def effective_rank(summary_TD: Tensor) -> float:
    """Exponential of the entropy of the singular values of centred summaries, from 1 to the smaller of T and D."""
    values = torch.linalg.svdvals((summary_TD - summary_TD.mean(0)).double())
    if float(values.sum()) < 1e-9:
        return 1.0
    share = values / values.sum()
    return float(torch.exp(-(share * (share + 1e-12).log()).sum()))


def draw_curve(points: Sequence[tuple[int, float]], floors: Mapping[str, float], asked: int) -> bytes:
    """The curve of neighbours with its floors, as PNG."""
    with charts.style(), matplotlib.rc_context({"axes.grid": True}):
        figure = Figure(figsize=(6, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.plot([step for step, _ in points], [value for _, value in points], marker="o", label="tower")
        for style, (name, value) in zip(("--", ":", "-."), floors.items()):
            axes.axhline(value, linestyle=style, color="0.4", label=name)
        axes.set(xlabel="step", ylabel=f"k-NN accuracy ({asked} tiles)", ylim=(0, 1))
        axes.legend()
        return charts.png(figure)


def _some(names: Sequence[str], most: int, chance: np.random.Generator) -> list[str]:
    if len(names) <= most:
        return list(names)
    return [names[place] for place in np.sort(chance.permutation(len(names))[:most])]
