"""Does the model look? What the right image adds to the words of a text, and whether holes attend to targets.

*Image gain*: the log-probability a token (its [SEP] included) that the decoder gives to the words of a sub-text, read
as infilling reads them, with the right image minus with the image of another tile of the same instruction set
(:mod:`knowlip.dataset.others`). Nothing but the image differs, and where the model is told it the image's width on the
ground: a model that does not look gains exactly 0. It is measured twice: with all other sub-texts hidden, where all is
left to the image, and with the others shown.

*Attention on targets*: the weight that a hole's [MASK] gives in cross-attention to a patch that a box of the annotator
touches, over the uniform weight.

Shapes: T tiles, N image tokens, L layers, H heads; eight sub-texts a tile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from knowlip.base.progress import say, track
from knowlip.base.rows import Json, Row
from knowlip.dataset import Dataset
from knowlip.dataset.mentions import Box, by_tile
from knowlip.dataset.others import Others, others_of
from knowlip.dataset.reader import widths_m
from knowlip.language.dimensions import DIMENSIONS, SLOTS, InstructionSet
from knowlip.language.truth import judge
from knowlip.models.attention import image_attention, patch_tokens, readout_tokens
from knowlip.models.encoders import Encoder
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.models.knowlip import KnowLIP
from knowlip.models.tokenizer import pad
from knowlip.models.towers import resize
from knowlip.scio.evidence import Scorer
from knowlip.scio.filled import FilledHole, filled_holes
from knowlip.tasks.bench import Bench, Measured, balanced
from knowlip.tasks.metrics import NO_INTERVAL, mean, mean_of_means
from knowlip.tasks.verdicts import verdicts
from knowlip.training.texts import Reading, TileText, tokenise

LogP = Callable[[np.ndarray, Sequence[FilledHole]], np.ndarray]
"""(rows of the sample whose images are read, V holes whose `owner` counts in these rows) -> log-probability a token of
the words of each hole (V,)."""
HIDDEN, SHOWN = SLOTS, 1
"""Sub-texts that are hidden at once: all of them, or the one that is asked for."""
_AT_ONCE: Final = 32


@dataclass(frozen=True)
class LookingSample:
    """T tiles whose words are asked with the right image and with another tile's."""

    tile_ids: list[str]
    sets: list[str]
    """Instruction set of each."""
    texts: list[TileText]
    """As infilling reads them."""
    pixels_TSS: np.ndarray
    """uint8 at the model's size."""
    boxes: list[tuple[Box, ...]]
    """What the annotator points at in each tile; nothing in terrain tiles."""
    others: Others
    """Which of these tiles lends each the wrong image."""
    width_m_T: np.ndarray | None = None
    """Width of each tile on the ground in metres, NaN where it is not known."""

    def __len__(self) -> int:
        return len(self.tile_ids)

    def rows_of(self, name: str) -> np.ndarray:
        """Positions of the tiles of an instruction set."""
        return np.flatnonzero(np.array(self.sets) == name)

    @property
    def known_sets(self) -> list[str]:
        """The instruction sets there are, in their order."""
        return [name for name in DIMENSIONS if name in self.sets]


def looking_sample(data: Dataset, model: KnowLIP, tiles: pd.DataFrame, count: int, seed: int = 0) -> LookingSample:
    """Draw tiles to look at: as many of each instruction set as there are, up to equal shares of `count`.

    Args:
        data: an annotated data set; its texts of revision 0 are asked.
        model: whose tokenizer, input size and reading of texts are used.
        tiles: rows of `data.tiles()` to draw from; those without texts are left out.
        count: at most so many tiles.
        seed: of the draw.

    Raises:
        ValueError: none of the tiles has texts.
    """
    texts = data.texts(0)
    texts = texts[texts["tile_id"].isin(set(tiles["tile_id"]))]
    if texts.empty:
        raise ValueError(f"None of the tiles of {data.path} to look at has texts: annotate it first.")
    set_of = dict(zip(texts["tile_id"], texts["instruction_set"]))
    # Four of five tiles are of terrain: drawn as they come, the sets of targets would be a handful.
    tiles = tiles[tiles["tile_id"].isin(set_of.keys())]
    tiles = tiles.iloc[balanced([set_of[name] for name in tiles["tile_id"]], count, seed)]
    tile_ids = [str(tile_id) for tile_id in tiles["tile_id"]]
    sets = [str(set_of[tile_id]) for tile_id in tile_ids]
    reads = model.config.text
    chosen = texts[texts["tile_id"].isin(set(tile_ids))]
    by_id = tokenise(chosen, model.tokenizer, Reading(reads.contrast_on, reads.grounded_on))
    mentions = by_tile(data.mentions())
    size = model.config.vision.image_size
    return LookingSample(
        tile_ids,
        sets,
        [by_id[tile_id].grounded for tile_id in tile_ids],
        np.stack([resize(image, size) for image in data.images(tile_ids)]),
        [
            mentions[tile_id].boxes if tile_id in mentions and InstructionSet(name).of_targets else ()
            for tile_id, name in zip(tile_ids, sets)
        ],
        others_of(tiles, sets, seed),
        widths_m(tiles),
    )


def image_gains(sample: LookingSample, mask: int, log_p: LogP, holes_at_once: int = HIDDEN) -> np.ndarray:
    """What the right image adds to each sub-text: (T, 8) nats a token, NaN where infilling reads nothing or no other
    tile lends its image.

    Args:
        sample: tiles and texts.
        mask: id of [MASK].
        log_p: what the model says.
        holes_at_once: `HIDDEN` or `SHOWN`.
    """
    gains = np.full((len(sample), SLOTS), np.nan)
    known = np.flatnonzero(sample.others.position_T >= 0)
    title = "words with and without their image, others " + ("hidden" if holes_at_once == HIDDEN else "shown")
    for first in track(range(0, len(known), _AT_ONCE), title):
        rows = known[first : first + _AT_ONCE]
        asked = [
            hole
            for owner, row in enumerate(rows)
            for hole in filled_holes(sample.texts[row], owner, range(SLOTS), mask, holes_at_once)
        ]
        if asked:
            at = rows[[hole.owner for hole in asked]], [hole.slot for hole in asked]
            gains[at] = log_p(rows, asked) - log_p(sample.others.position_T[rows], asked)
    return gains


class Looked:
    """A model that has encoded the images of a sample.

    Args:
        model: in evaluation mode.
        sample: tiles to look at.
    """

    def __init__(self, model: KnowLIP, sample: LookingSample) -> None:
        self.model, self.sample = model, sample
        # Contrast is not asked, so it does not matter which tiles are its negatives.
        pixels, texts, widths = sample.pixels_TSS, sample.texts, sample.width_m_T
        self._scorer = Scorer(model, pixels, texts, negatives=(0, 0), tiles_at_once=_AT_ONCE, width_m=widths)
        starts = range(0, len(sample), _AT_ONCE)
        encoded = [self._scorer.encode(range(s, min(s + _AT_ONCE, len(sample))))[0] for s in starts]
        self.tokens_TNV: Tensor = torch.cat(encoded)

    @torch.inference_mode()
    def log_p(self, rows: np.ndarray, asked: Sequence[FilledHole]) -> np.ndarray:
        """See :data:`LogP`."""
        memory = self.model.image_key_values(self.tokens_TNV[torch.as_tensor(rows)])
        return -self._scorer.infill(memory, asked)[:, 0]

    def gains(self, holes_at_once: int = HIDDEN) -> np.ndarray:
        """See :func:`image_gains`."""
        return image_gains(self.sample, self.model.tokenizer.mask, self.log_p, holes_at_once)

    @torch.inference_mode()
    def attention(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the holes of target texts attend to, all sub-texts hidden.

        Returns:
            Mean weight of a patch that a box touches, over that of uniform attention (1 / N): (T, 8, L, H), NaN where
            there is no box or no hole; and the shares of attention that go to patches at all, and to the answers of the
            readout: (T, 8) each.
        """
        model, sample = self.model, self.sample
        tokenizer, longest = model.tokenizer, model.config.text.max_length
        patches, grid = patch_tokens(model)
        readout = readout_tokens(model)
        layers, heads = model.config.text.layers, model.config.text.heads
        on_target = np.full((len(sample), SLOTS, layers, heads), np.nan, np.float32)
        on_patches, on_readout = np.full((2, len(sample), SLOTS), np.nan, np.float32)
        pointed = [row for row, boxes in enumerate(sample.boxes) if boxes and sample.texts[row].ids()]
        for first in range(0, len(pointed), _AT_ONCE):
            rows = pointed[first : first + _AT_ONCE]
            holes = [filled_holes(sample.texts[row], row, range(SLOTS), tokenizer.mask, HIDDEN) for row in rows]
            framed = [tokenizer.frame(one[0].context, longest, grounded=True) for one in holes]
            # A text tower for short texts may cut off the last holes; what it never reads is not measured.
            places = [(i, hole) for i, one in enumerate(holes) for hole in one if hole.place + 2 < len(framed[i])]
            ids, keep = pad(framed, model.device)
            memory = model.image_key_values(self.tokens_TNV[torch.as_tensor(rows)])
            row_R = torch.tensor([i for i, _ in places], device=model.device)
            place_R = torch.tensor([1 + hole.place for _, hole in places], device=model.device)
            weights = image_attention(model, ids, keep, memory, row_R, place_R).cpu().numpy()
            for (_, hole), weight in zip(places, weights):
                at, of_patches = (hole.owner, hole.slot), weight[..., patches]
                covered = covered_patches(sample.boxes[hole.owner], grid)
                on_target[at] = of_patches[..., covered].mean(-1) * weight.shape[-1]
                on_patches[at] = of_patches.sum(-1).mean()
                on_readout[at] = weight[..., readout].sum(-1).mean()
        return on_target, on_patches, on_readout


def covered_patches(boxes: Sequence[Box], grid: tuple[int, int]) -> np.ndarray:
    """Which patches (rows x columns, row by row) a box shares area with: bool."""
    rows, columns = grid
    covered = np.zeros(grid, bool)
    for box in boxes:
        # A box that ends on the border of a patch by rounding does not touch the next one.
        left, right = box.x * columns + 1e-6, (box.x + box.width) * columns - 1e-6
        top, bottom = box.y * rows + 1e-6, (box.y + box.height) * rows - 1e-6
        covered[max(0, int(top)) : int(bottom) + 1, max(0, int(left)) : int(right) + 1] = True
    return covered.ravel()


def why_not_looked(model: KnowLIP) -> str:
    """Why nothing here can be measured of a model; "" where it can."""
    if model.config.text.decoder_reads == "image":
        return "its decoder reads no text with holes"
    if any(isinstance(parameter, DTensor) for parameter in model.parameters()):
        return "its weights are spread over processes"
    return ""


def looking_figures(model: KnowLIP, sample: LookingSample) -> dict[str, float]:
    """Figures for a training log, cheap enough for every few hundred steps; the model's mode is left as it was.

    Returns:
        `gain.SET.DIMENSION` and `gain.SET` (mean of its dimensions), nats a token, other sub-texts hidden;
        `attention.target` (mean of layers and heads, times uniform), `attention.target_head` (the highest head's),
        `attention.patches` and `attention.readout` (shares that go there). What the sample or the model holds nothing
        of is left out.
    """
    # Dropout would blur what the image adds, and differ between the two images.
    training = model.training
    model.eval()
    try:
        looked = Looked(model, sample)
        gains = looked.gains()
        on_target, on_patches, on_readout = looked.attention()
    finally:
        model.train(training)
    found: dict[str, float] = {}
    for name in sample.known_sets:
        of_set = gains[sample.rows_of(name)]
        means = {
            dimension: float(np.nanmean(of_set[:, slot]))
            for slot, dimension in enumerate(DIMENSIONS[name])
            if np.isfinite(of_set[:, slot]).any()
        }
        if means:
            found[f"gain.{name}"] = float(np.mean([*means.values()]))
            found |= {f"gain.{name}.{dimension}": value for dimension, value in means.items()}
    if np.isfinite(on_target).any():
        by_head = np.nanmean(on_target, axis=(0, 1))
        found["attention.target"] = float(by_head.mean())
        found["attention.target_head"] = float(by_head.max())
        found["attention.patches"] = float(np.nanmean(on_patches))
        if model.readout is not None:
            found["attention.readout"] = float(np.nanmean(on_readout))
    return found


def watched_sample(data: Dataset, model: KnowLIP, count: int, seed: int = 0) -> LookingSample:
    """The tiles that a training log looks at: of the val split, or where it has none with texts, of the train split,
    which is said."""
    with_texts = set(data.texts(0)["tile_id"])
    split = next((name for name in ("val", "train") if with_texts & set(data.tiles(name)["tile_id"])), "train")
    sample = looking_sample(data, model, data.tiles(split), count, seed)
    if split == "train":
        say("There are no val tiles with texts: image gain in the log is that of training tiles.")
    for name in DIMENSIONS:
        if name not in sample.sets:
            say(f"No {split} tile is of the set {name}: the log has no gain.{name}.")
    if sample.others.of_same_block:
        say(f"{sample.others.of_same_block} of {len(sample)} tiles to look at borrow from their own geographic block.")
    if sample.others.missing:
        say(f"{sample.others.missing} of {len(sample)} tiles to look at have no other tile to borrow from.")
    return sample


def measure(bench: Bench, encoder: Encoder) -> Measured:
    """Image gain by instruction set and dimension, and attention on targets."""
    metric = "image gain"
    if not isinstance(encoder, KnowLIPEncoder) or why_not_looked(encoder.model):
        note = "It writes no words into the holes of a text."
        return Measured((bench.row("looking", encoder.name, metric, None, note=note, unit="number"),))
    if not bench.limits.looking_tiles:
        note = "Looking was turned off."
        return Measured((bench.row("looking", encoder.name, metric, None, note=note, unit="number"),))
    sample = looking_sample(bench.data, encoder.model, bench.tiles, bench.limits.looking_tiles, bench.seed)
    looked = Looked(encoder.model, sample)
    clusters = np.array([bench.clusters[tile_id] for tile_id in sample.tile_ids])
    totals, singles, by_dimension = _gains(bench, encoder.name, looked, clusters)
    row, attention = _attention(bench, encoder.name, looked, clusters)
    facts: dict[str, Json] = {
        "tiles": {name: len(sample.rows_of(name)) for name in sample.known_sets},
        "other_image_of_another_scale": sample.others.of_other_scale,
        "other_image_of_the_same_block": sample.others.of_same_block,
        "without_other_image": sample.others.missing,
    }
    details: dict[str, Json] = {"sample": facts, "image_gain": by_dimension, "attention": attention}
    return Measured((*totals, row, *singles), details=details)


def _gains(
    bench: Bench, encoder: str, looked: Looked, clusters: np.ndarray
) -> tuple[list[Row], list[Row], dict[str, Json]]:
    """Rows of each set, rows of each set and dimension, and details of the latter."""
    # Each figure is there twice: with nothing to read beside the image, and with the other sub-texts shown.
    sample, true = looked.sample, _true(bench, looked.sample)
    modes = {"": looked.gains(HIDDEN), ", others shown": looked.gains(SHOWN)}
    totals, singles = [], []
    details: dict[str, Json] = {}
    for name in sample.known_sets:
        at = sample.rows_of(name)

        def row(of: str, slots: slice, mode: str, at: np.ndarray = at) -> Row:
            return _gain_row(bench, encoder, f"image gain, {of}{mode}", modes[mode][at, slots], clusters[at])

        totals += [row(name, slice(None), mode) for mode in modes]
        for slot, dimension in enumerate(DIMENSIONS[name]):
            hidden, shown = (row(f"{name} {dimension}", slice(slot, slot + 1), mode) for mode in modes)
            singles += [hidden, shown]
            verdict, gain = true[at, slot], modes[""][at, slot]
            details[f"{name} {dimension}"] = {
                "gain": hidden.value,
                "gain_ci": list(hidden.ci) if hidden.ci else None,
                "others_shown": shown.value,
                "others_shown_ci": list(shown.ci) if shown.ci else None,
                "of_true": _plain_mean(gain[[one is True for one in verdict]]),
                "of_wrong": _plain_mean(gain[[one is False for one in verdict]]),
                "n": hidden.n,
                "reason": _reason(hidden, verdict),
            }
    return totals, singles, details


def _reason(row: Row, verdict: np.ndarray) -> str:
    """Why figures of a dimension are missing; "" where none is."""
    if row.value is None:
        return row.note
    missing = [
        (row.ci is None, NO_INTERVAL),
        (not any(one is True for one in verdict), "Truth confirms none of these sub-texts."),
        (not any(one is False for one in verdict), "Truth refutes none of these sub-texts."),
    ]
    return " ".join(sentence for is_so, sentence in missing if is_so)


def _gain_row(bench: Bench, encoder: str, metric: str, gains_TD: np.ndarray, clusters: np.ndarray) -> Row:
    """A row of the mean of dimensions; without a value where infilling reads nothing of any tile."""
    there = [np.isfinite(column) for column in gains_TD.T]
    columns = [(column[at], clusters[at]) for column, at in zip(gains_TD.T, there) if at.any()]
    if not columns:
        note = "Infilling reads no sentence of this dimension."
        return bench.row("looking", encoder, metric, None, note=note, unit="number")
    figure = mean_of_means([values for values, _ in columns], [of for _, of in columns])
    return bench.row("looking", encoder, metric, figure, {"another image": 0.0}, unit="number")


def _attention(bench: Bench, encoder: str, looked: Looked, clusters: np.ndarray) -> tuple[Row, dict[str, Json]]:
    """The row of attention on targets, and its details."""
    metric = "attention on targets / uniform"
    on_target, on_patches, on_readout = looked.attention()
    by_tile_T8 = on_target.mean((2, 3))
    there = np.isfinite(by_tile_T8).any(1)
    if not there.any():
        note = "The annotator points at no target in these tiles."
        return bench.row("looking", encoder, metric, None, note=note, unit="number"), {}
    figure = mean(np.nanmean(by_tile_T8[there], 1), clusters[there])
    row = bench.row("looking", encoder, metric, figure, {"uniform": 1.0}, unit="number")
    # The mean of all heads stays near 1 where a few of them look: the highest is told, which these tiles chose.
    by_head = np.nanmean(on_target[there], axis=(0, 1))
    layer, head = np.unravel_index(int(by_head.argmax()), by_head.shape)
    targets = DIMENSIONS[InstructionSet.MARINE]
    return row, {
        "tiles": int(there.sum()),
        "share_on_patches": float(np.nanmean(on_patches)),
        "share_on_readout": float(np.nanmean(on_readout)),
        "highest_head": float(by_head.max()),
        "highest_head_is": f"layer {layer + 1}, head {head + 1}",
        "by_layer": {f"layer {number}": float(value) for number, value in enumerate(by_head.mean(1), 1)},
        "by_dimension": {
            name: _plain_mean(by_tile_T8[:, slot])
            for slot, name in enumerate(targets)
            if np.isfinite(by_tile_T8[:, slot]).any()
        },
    }


def _true(bench: Bench, sample: LookingSample) -> np.ndarray:
    """Verdict on each sub-text: (T, 8) True, False, or None where truth cannot tell."""
    texts = bench.texts[bench.texts["tile_id"].isin(set(sample.tile_ids))]
    found = np.full((len(sample), SLOTS), None, dtype=object)
    row = {tile_id: number for number, tile_id in enumerate(sample.tile_ids)}
    at = texts["tile_id"].map(row).to_numpy(), texts["slot"].to_numpy() - 1
    found[at] = verdicts(texts, bench.truths, bench.windows, judge)
    return found


def _plain_mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None
