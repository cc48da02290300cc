"""Questions about real images, with their labels, what the measured annotator says, and what needs no model."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TypeVar

import numpy as np
import rasterio
from PIL import Image

from benchmarks.ssdd_measured import in_fit_half, labels
from benchmarks.zero_shot_floors import fullest_region, said_count, water_masks
from knowlip.annotators.measured import MeasuredAnnotator
from knowlip.annotators.types import Annotation, TileRequest
from knowlip.base.vocabulary import AIRCRAFT_TYPES, LANDFORMS, REGIONS, region_of
from knowlip.inference.images import TakenImage, read_image
from knowlip.language.claims import parse_claims
from knowlip.language.definitions import count_holds
from knowlip.language.questions import MAX_COUNT, TEMPLATES, QuestionType, answers_of
from knowlip.language.tile_facts import MIN_SHARE, facts_from_texts
from knowlip.language.truth import SHARE_TOLERANCE
from knowlip.scenes import open_scene
from knowlip.scenes.errors import NoData
from knowlip.tasks.cfar import fitted

Usual = Mapping[str, Mapping[str, str]]
"""Type of question -> subject -> the most frequent answer of the model's training."""
T = TypeVar("T")
WATER, OTHER = "water", "no water"
_SSDD_METRES, _ACD_METRES = 3.0, 1.0
"""Side of a pixel: the images of these sets do not tell it, and one is taken for all."""
_CLEAR = 0.6
"""Share of a region or window from which one answer about its water is right."""
_OF_CLASS = dict.fromkeys(("A330", "Boeing787"), AIRCRAFT_TYPES[0].name) | dict.fromkeys(
    ("A220", "A320321", "ARJ21", "Boeing737"), AIRCRAFT_TYPES[1].name
)


@dataclass(frozen=True)
class Trial:
    """A question about an image, and what is said without the model; answers are as `Asked.read` returns them."""

    image: TakenImage
    prompt: str
    truth: str
    cluster: str
    """What the interval resamples: trials of one scene, or near copies."""
    teacher: str = ""
    """The measured annotator's answer; "" where it is silent."""
    floors: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """Trials of one figure."""

    data: str
    metric: str
    candidates: Sequence[str] = ()
    """Answers that the model chooses from; none: it writes."""
    read: Callable[[str], str] = str
    """From an answer of the model to what is compared."""
    right: Callable[[str, str], bool] = str.__eq__
    """Whether an answer (first) is right where this is true (second)."""
    trials: list[Trial] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """Why images and windows were left out, and how many."""


def ssdd(folder: Path, usual: Usual, limit: int) -> list[Asked]:
    """How many ships, and which region holds most of them."""
    count = Asked("SSDD", "count accuracy", answers_of(QuestionType.COUNT) or ())
    near = Asked("SSDD", "count true (exact to three, then within a quarter)", count.candidates, right=_near)
    place = Asked("SSDD", "position accuracy", REGIONS)
    annotator, seen, fit, judged = MeasuredAnnotator(), set(), [], []
    for path in sorted((folder / "images").glob("*.jpg")):
        digest = hashlib.sha256(path.read_bytes()).digest()
        if digest in seen:
            count.skipped["the same file again"] += 1
            continue
        seen.add(digest)
        pixels = np.asarray(Image.open(path).convert("L"))
        ships = labels(folder / "annotations" / f"{path.stem}.xml")
        if in_fit_half(path.stem):
            fit.append((pixels, len(ships)))
            continue
        if len(ships) > MAX_COUNT:
            count.skipped[f"more than {MAX_COUNT} ships"] += 1
        else:
            judged.append((path.stem, TakenImage(pixels, _SSDD_METRES), ships))
    for name, image, ships in _spread(judged, limit):
        # There is no nodata in these images: 0 is a dark pixel.
        facts = facts_from_texts(*_texts(annotator, np.maximum(image.pixels, 1), _SSDD_METRES))
        # A text about land names no ship, which is an answer too.
        told = str((facts.counts or {}).get("ship", 0))
        prompt = TEMPLATES[QuestionType.COUNT][0].format(plural="ships")
        count.trials.append(Trial(image, prompt, str(len(ships)), name, told, _blind(usual, "count", "ship")))
        held = Counter(region_of(x, y) for x, y in ships).most_common(2)
        if not held or (len(held) == 2 and held[0][1] == held[1][1]):
            place.skipped["no region holds most ships"] += 1
            continue
        region = (facts.regions or {}).get("ship")
        told = "" if region is None else REGIONS[region]
        prompt = TEMPLATES[QuestionType.POSITION][0].format(plural="ships")
        place.trials.append(Trial(image, prompt, REGIONS[held[0][0]], name, told, _blind(usual, "position", "ship")))
    cfar = fitted([pixels for pixels, _ in fit], [number for _, number in fit]).exact
    for asked in (count, place):
        found = [cfar.centres(trial.image.pixels) for trial in asked.trials]
        said = [said_count(one) if asked is count else REGIONS[fullest_region(one) or 0] for one in found]
        asked.trials = [
            Trial(one.image, one.prompt, one.truth, one.cluster, one.teacher, {**one.floors, "CFAR": answer})
            for one, answer in zip(asked.trials, said, strict=True)
        ]
    near.trials = count.trials
    return [count, near, place]


def sen1floods11(folder: Path, usual: Usual, window_m: float, limit: int) -> list[Asked]:
    """Water in windows as wide as the widest of the training: is it there, is it the main landform, where, how much."""
    some = [", ".join(group) for size in (1, 2, 3) for group in combinations(LANDFORMS, size)]
    name = "Sen1Floods11"
    there = Asked(name, "water present", some, lambda said: WATER if WATER in said.split(", ") else OTHER)
    main = Asked(name, "water is the main landform", LANDFORMS, _is_water)
    region = Asked(name, "water in a region", LANDFORMS, _is_water)
    share = Asked(name, "share of water within 15 points", read=_share_of, right=_close)
    annotator, chance = MeasuredAnnotator(), np.random.default_rng(0)
    for window in _spread(list(_windows(folder, window_m, there.skipped)), limit):
        number = int(chance.integers(9))
        kind, texts = _texts(annotator, window.image.pixels, window.image.metres_per_pixel or 10.0)
        facts = facts_from_texts(kind, texts)
        # Coarse pixels are told apart as water, built-up and open land: the annotator's answers follow from its share.
        share_told = _share_of(texts.get("Water", "")) if kind == "terrain" else ""
        told = _present(float(share_told)) if share_told else ""
        prompt, blind = TEMPLATES[QuestionType.ALL_LANDFORMS][0], _blind(usual, "all_landforms", "", there.read)
        there.trials.append(window.trial(prompt, _present, told, blind))
        share.trials.append(window.trial("Water: [MASK]", str, share_told, {"no water": "0.0"}))
        if window.clear() is None:
            main.skipped["neither water nor land covers most"] += 1
        else:
            told = _mostly(float(share_told)) if share_told else ""
            blind = _blind(usual, "main_landform", "", _is_water)
            main.trials.append(window.trial(TEMPLATES[QuestionType.MAIN_LANDFORM][0], _mostly, told, blind))
        part = window.region(number)
        if part.clear() is None:
            region.skipped["neither water nor land covers most"] += 1
            continue
        cover = facts.grid[number] if facts.grid else None
        prompt = TEMPLATES[QuestionType.REGIONAL_LANDFORM][0].format(region=REGIONS[number])
        blind = _blind(usual, "regional_landform", REGIONS[number], _is_water)
        region.trials.append(part.trial(prompt, _mostly, _is_water(cover) if cover else "", blind))
    return [there, main, region, share]


@dataclass(frozen=True)
class _Window:
    """A window of a scene with its labels."""

    image: TakenImage
    scene: str
    water: np.ndarray
    """(H, W) bool, by the labels."""
    known: np.ndarray
    """(H, W) bool: where there are labels and pixels."""
    masks: Mapping[str, np.ndarray]
    """Threshold -> (H, W) bool."""

    def clear(self) -> bool | None:
        """Whether water covers most of it; None where nothing does."""
        share = float(self.water[self.known].mean()) if self.known.any() else 0.5
        return share > 0.5 if max(share, 1 - share) >= _CLEAR else None

    def region(self, number: int) -> "_Window":
        """The labels and masks of one of its nine regions, with the whole image."""
        rows, columns = self.water.shape
        down, right = divmod(number, 3)
        cut = (
            slice(rows * down // 3, rows * (down + 1) // 3),
            slice(columns * right // 3, columns * (right + 1) // 3),
        )
        masks = {name: mask[cut] for name, mask in self.masks.items()}
        return _Window(self.image, self.scene, self.water[cut], self.known[cut], masks)

    def trial(self, prompt: str, answer: Callable[[float], str], told: str, blind: Mapping[str, str]) -> Trial:
        """A question whose right answer, and those of the thresholds, follow from the share of water."""
        floors = {name: answer(float(mask[self.known].mean())) for name, mask in self.masks.items()}
        truth = answer(float(self.water[self.known].mean()))
        return Trial(self.image, prompt, truth, self.scene, told, {**blind, **floors})


def _windows(folder: Path, window_m: float, skipped: Counter[str]) -> Iterator[_Window]:
    """Windows of all scenes, side by side, whose pixels have labels."""
    for path in sorted((folder / "S1").glob("*_S1Hand.tif")):
        with rasterio.open(folder / "Labels" / path.name.replace("S1Hand", "LabelHand")) as file:
            label = file.read(1)
        try:
            scene = open_scene(path)
        except NoData:
            skipped["a scene without a pixel"] += 1
            continue
        power, valid = scene.read()
        known = valid & (label >= 0)
        if not known.any():
            skipped["a scene without a label"] += 1
            continue
        image, masks, side = read_image(path), water_masks(power, valid), round(window_m / scene.resolution_m)
        for top in range(0, label.shape[0] - side + 1, side):
            for left in range(0, label.shape[1] - side + 1, side):
                cut = (slice(top, top + side), slice(left, left + side))
                if known[cut].mean() < 0.9:
                    skipped["a window with labels in less than 90 %"] += 1
                    continue
                taken = image._replace(pixels=np.ascontiguousarray(image.pixels[cut]))
                here = {name: mask[cut] for name, mask in masks.items()}
                yield _Window(taken, path.stem, label[cut] == 1, known[cut], here)


def sar_acd(folder: Path, usual: Usual, limit: int) -> list[Asked]:
    """Wide- or narrow-body airliner, a chip of each group of near copies; sizes are fitted on other groups."""
    asked = Asked("SAR-ACD", "wide- or narrow-body", [one.name for one in AIRCRAFT_TYPES])
    groups: dict[str, list[Path]] = {}
    lines = (folder.parent / f"{folder.name}-groups.tsv").read_text().splitlines()[1:]
    for path, group, classes in (line.split("\t") for line in lines):
        if int(classes) > 1:
            asked.skipped["a chip whose near copies are of several classes"] += 1
        else:
            groups.setdefault(group, []).append(folder / path)
    chips = [paths[0] for _, paths in sorted(groups.items(), key=lambda pair: int(pair[0]))]
    asked.skipped["a near copy"] = sum(len(paths) - 1 for paths in groups.values())
    sizes = [max(Image.open(path).size) for path in chips]
    kinds = [_OF_CLASS[path.parent.name] for path in chips]
    fit = range(0, len(chips), 2)
    cuts = sorted({sizes[i] for i in fit})
    wide = AIRCRAFT_TYPES[0].name
    best = max(cuts, key=lambda cut: sum((sizes[i] >= cut) == (kinds[i] == wide) for i in fit))
    prompt = TEMPLATES[QuestionType.RECOGNITION][0].format(singular="aircraft")
    for i in np.random.default_rng(0).permutation(np.arange(1, len(chips), 2))[:limit].tolist():
        image = TakenImage(np.asarray(Image.open(chips[i]).convert("L")), _ACD_METRES)
        by_size = wide if sizes[i] >= best else AIRCRAFT_TYPES[1].name
        floors = _blind(usual, "recognition", "aircraft") | {"size of the chip": by_size}
        asked.trials.append(Trial(image, prompt, kinds[i], chips[i].stem, floors=floors))
    return [asked]


def _spread(items: Sequence[T], limit: int) -> list[T]:
    """At most `limit` of the items, evenly spread."""
    return [items[at * len(items) // limit] for at in range(limit)] if len(items) > limit else list(items)


def _blind(usual: Usual, kind: str, subject: str, read: Callable[[str], str] = str) -> dict[str, str]:
    """What the model's training answered most often to such a question; nothing where its card does not say."""
    known = usual.get(kind, {})
    answer = known.get(subject, known.get(""))
    return {} if answer is None else {"blind": read(answer)}


def _texts(annotator: MeasuredAnnotator, pixels: np.ndarray, metres: float) -> tuple[str, dict[str, str]]:
    """Instruction set and sub-texts of the measured annotator about an image of unknown place."""
    nowhere = float("nan")
    found: Annotation = annotator.annotate(
        TileRequest("image", pixels, metres, "medium", "unknown", "", nowhere, nowhere)
    )
    return str(found.instruction_set), {one.dimension: one.text for one in found.sub_texts}


def _is_water(cover: str) -> str:
    return WATER if cover == WATER else OTHER


def _present(share: float) -> str:
    return WATER if share >= MIN_SHARE else OTHER


def _mostly(share: float) -> str:
    return WATER if share > 0.5 else OTHER


def _share_of(text: str) -> str:
    """The share of water that a sentence claims, "" for none."""
    claims = parse_claims("terrain", "Water", text)
    share = claims.get("shares", {}).get("water")
    if share is None:
        return "0.0" if claims.get("water") is False else ""
    return str(share)


def _close(said: str, true: str) -> bool:
    return bool(said) and abs(float(said) - float(true)) <= SHARE_TOLERANCE


def _near(said: str, true: str) -> bool:
    return bool(said) and count_holds(int(said), int(true))
