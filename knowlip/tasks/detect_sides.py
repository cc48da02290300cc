"""Which tiles a detection learns from, follows its training by and measures, and what is left out on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from knowlip.base.progress import say
from knowlip.dataset import Dataset
from knowlip.tasks.detect_settings import DetectConfig
from knowlip.tasks.objects import ClassMap, TileObjects, read_objects
from knowlip.tasks.protocols import Division, divide
from knowlip.tasks.unseen import same_places

_SAME_PIXELS: Final = 1.25
"""Ratio up to which pixels count as of one size."""


@dataclass(frozen=True)
class DetectSides:
    """Tiles to learn from, to follow the training by, and to measure, with their objects."""

    train: list[str]
    validation: list[str]
    test: list[str]
    objects: Mapping[str, TileObjects]
    """Of the tiles to learn from and to follow by: those that are learned from."""
    truth: Mapping[str, TileObjects]
    """Of the tiles to measure."""
    division: Division
    """Of the set that is measured."""
    left: dict[str, int]
    """Reason -> objects or tiles that are left out."""

    @classmethod
    def of(cls, config: DetectConfig, data: Dataset, measured: Dataset, names: ClassMap) -> "DetectSides":
        """Divide tiles and read their objects.

        Args:
            config: of the training.
            data: learned from.
            measured: measured; the same where the settings name no other.
            names: of classes.

        Raises:
            ValueError: there is nothing to learn from or to measure, or less than `shots`.
        """
        # Counted on the way: what is left out of the training, and why.
        cache = config.cache or config.out / "cache"
        aside = divide(
            *(measured, measured.tiles()["tile_id"].to_list(), None, config.protocol),
            *(config.fold, config.folds, config.split_seed),
            split=config.split,
            cache=cache,
        )
        own = data.tiles("train")["tile_id"].to_list() if config.test_on is not None else list(aside.train)
        shared = 0
        if config.test_on is not None:  # the measured images may be images of this set, too
            block = data.tiles("train").set_index("tile_id")["block"].astype(str)
            places = measured.tiles().set_index("tile_id")["block"].loc[list(aside.test)]
            known = same_places(places, block)
            shared, own = len(own), [tile_id for tile_id in own if block[tile_id] not in known]
            shared -= len(own)
        if not own or not aside.test:
            raise ValueError(
                f"There are {len(own)} tiles to learn from and {len(aside.test)} to measure: both need some."
            )
        everything, left = read_objects(data, own, config.label, names)
        truth, unasked = read_objects(measured, aside.test, config.label, names)
        if config.protocol == "own" and all(one.ignored.all() for one in truth.values()):
            others = ", ".join(f"{count} {reason}" for reason, count in unasked.items())
            raise ValueError(
                f"None of the {len(truth)} tiles to measure of {measured.path} has an object that is to be found"
                f"{f' (objects left out: {others})' if others else ''}: nothing can be measured."
            )
        counted = {f"objects {reason}": count for reason, count in left.items()}
        counted |= {f"measured objects {reason}": count for reason, count in unasked.items()}
        counted |= {"training tiles that are images to be measured": shared} if shared else {}
        chosen: dict[str, TileObjects] = {}
        small = hidden = 0
        for tile_id, objects in everything.items():
            longer = (objects.boxes[:, 2:] - objects.boxes[:, :2]).max(1, initial=0)
            small += int((longer < config.smallest_px).sum())
            hidden += int(objects.ignored.sum())
            chosen[tile_id] = objects.chosen(longer >= config.smallest_px)
        full = {tile_id for tile_id in own if (~chosen[tile_id].ignored).any()}
        kept = [tile_id for tile_id in own if config.keep_empty or tile_id in full]
        counted |= {f"objects shorter than {config.smallest_px:g} px": small} if config.smallest_px else {}
        counted |= {"objects that nobody need find (neither object nor background)": hidden} if hidden else {}
        counted |= {"tiles without objects": len(own) - len(kept)} if len(kept) < len(own) else {}
        kept, validation = _followed(config, data, kept, full, aside, cache)
        if config.shots:
            there = [tile_id for tile_id in kept if tile_id in full]
            if len(there) < config.shots:
                raise ValueError(f"shots {config.shots}: only {len(there)} training tiles have objects.")
            drawn = np.random.default_rng([config.split_seed, 7]).permutation(len(there))[: config.shots]
            counted["tiles beyond the shots"] = len(kept) - config.shots
            kept = [there[at] for at in sorted(drawn.tolist())]
        return cls(kept, validation, list(aside.test), chosen, truth, aside, counted)


def _followed(
    config: DetectConfig, data: Dataset, tile_ids: list[str], full: set[str], aside: Division, cache: Path
) -> tuple[list[str], list[str]]:
    """Training tiles, and those of them on which the curve is measured instead: whole groups of copies."""
    if not config.validation_share or not full:
        return tile_ids, []
    group_of = aside.group_of
    if config.test_on is not None:
        group_of = divide(data, tile_ids, None, "own", cache=cache).group_of
    groups = sorted({group_of[tile_id] for tile_id in full})
    if len(groups) < 2:
        say("warning: all training tiles are of one group of copies or place: no curve is measured on some of them.")
        return tile_ids, []
    count = max(1, round(len(groups) * config.validation_share))
    drawn = np.random.default_rng([config.split_seed, 5]).permutation(len(groups))[:count]
    chosen = {groups[at] for at in drawn}
    held = [tile_id for tile_id in tile_ids if group_of[tile_id] in chosen]
    return [tile_id for tile_id in tile_ids if group_of[tile_id] not in chosen], held


def check_named(config: DetectConfig, *sets: Dataset) -> str:
    """What `classes` names and no annotation is called, as a sentence; "" where there is none. A slip of the pen leaves
    objects out; a mapping that several sets share names more than one of them holds.

    Raises:
        ValueError: a class would have no object at all for that.
    """
    there = {str(name) for data in sets for name in data.annotations()[config.label].unique()} - {""}
    absent = sorted({*config.classes} - there)
    if not absent:
        return ""
    told = (
        f"No object of {' or '.join(dict.fromkeys(str(data.path) for data in sets))} is called "
        f"{' or '.join(map(repr, absent))}, as classes says: there are {', '.join(sorted(there)) or 'none'}."
    )
    if {*config.classes.values()} - {config.classes[name] for name in {*config.classes} & there}:
        raise ValueError(told)
    return told


def other_pixels(data: Dataset, train: Sequence[str], measured: Dataset, test: Sequence[str]) -> str:
    """That tiles to learn from and to measure have pixels of another size, as a sentence; "" where they have not, or
    one of them does not say it."""
    sizes = []
    for one, tiles in ((data, train), (measured, test)):
        table = one.tiles()
        sizes.append(table["metres_per_pixel"][table["tile_id"].isin({*tiles})].to_numpy(float))
    if not all(len(some) and np.isfinite(some).all() and some.min() > 0 for some in sizes):
        return ""
    (low, high), (least, most) = ((float(some.min()), float(some.max())) for some in sizes)
    if least <= _SAME_PIXELS * high and low <= _SAME_PIXELS * most:
        return ""
    here, there = (f"{a:g} m" if a == b else f"{a:g} to {b:g} m" for a, b in ((low, high), (least, most)))
    return f"Pixels are {here} in training and {there} in what is measured, and no tile is resampled for that."
