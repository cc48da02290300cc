"""A detector on disk (:mod:`knowlip.tasks.saved`), and what it has learned from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from knowlip.base.parsing import stage_config
from knowlip.base.rows import Json
from knowlip.base.settings import plain
from knowlip.models.detection import Detector, DetectorConfig
from knowlip.models.encoders import open_encoder
from knowlip.models.patch import resize_positions
from knowlip.tasks import count_scores
from knowlip.tasks.count_scores import CountScores, read_count_scores
from knowlip.tasks.runs import MeasuredConfig
from knowlip.tasks.saved import SavedKind
from knowlip.tasks.taught_on import ENTRY, TaughtOn, read_taught_on
from knowlip.tasks.unseen import same_places

_SAVED = SavedKind("detector", {"encoder": str, "size": int | None, "classes": list, "detector": dict, "learned": list})

_POSITIONS = "backbone.visual_encoder.pos_embed"


@dataclass(frozen=True)
class Learned:
    """Tiles that a detector has learned from."""

    dataset_fingerprint: str
    tiles: Sequence[str]
    blocks: Sequence[str] | None = None
    """Places, or images, that they are of; None in cards of before that was kept."""


def save_detector(
    detector: Detector,
    state: dict[str, Tensor],
    folder: Path,
    config: MeasuredConfig,
    learned: Sequence[Learned],
    taught: Mapping[str, Json],
    counts: Sequence[Mapping[str, Json]] = (),
) -> None:
    """Write a detector; its encoder's weights are in it, the name says how they are built.

    Args:
        detector: whose classes and settings are kept.
        state: its weights in one piece.
        folder: to write.
        config: whose encoder and size are kept.
        learned: what it has learned from, so that nobody goes on from it and measures on that.
        taught: what its training tiles were like (:mod:`knowlip.tasks.taught_on`).
        counts: from which scores its boxes count (:mod:`knowlip.tasks.count_scores`).
    """
    card = {
        "encoder": config.encoder,
        "size": config.size,
        "classes": detector.classes,
        "detector": plain(detector.config),
        "learned": plain(list(learned)),
        ENTRY: taught,
        count_scores.ENTRY: plain(list(counts)),
    }
    _SAVED.write(folder, card, state)


def load_detector(folder: Path, device: torch.device | str = "cpu") -> Detector:
    """Open what :func:`save_detector` wrote, in evaluation mode; the encoder is opened by its name.

    Raises:
        ValueError: no detector, a broken one, or its encoder is not there.
    """
    card = _card(folder)
    config = stage_config(DetectorConfig, card["detector"])
    detector = Detector(open_encoder(card["encoder"], device, card["size"]), card["classes"], config)
    _SAVED.fill(detector, _SAVED.read_weights(folder), folder)
    return detector.eval().to(device)


def detector_taught_on(folder: Path) -> TaughtOn | None:
    """What the training tiles of a saved detector were like; None where its card does not say.

    Raises:
        ValueError: no detector, or a broken card.
    """
    return read_taught_on(_card(model_folder(folder)))


def detector_count_scores(folder: Path, asked: float | None = None) -> CountScores:
    """From which scores the boxes of a saved detector count.

    Args:
        folder: of the detector, or of its run.
        asked: what a user asks for instead.

    Raises:
        ValueError: no detector, or a broken card.
    """
    return read_count_scores(_card(model_folder(folder)), asked)


def write_count_scores(folder: Path, counts: Sequence[Mapping[str, Json]]) -> None:
    """Put other scores into the card of a saved detector."""
    folder = model_folder(folder)
    _SAVED.rewrite_card(folder, {**_card(folder), count_scores.ENTRY: plain(list(counts))})


def read_weights(detector: Detector, folder: Path) -> list[Learned]:
    """Fill a detector with the weights of a saved one of the same shape, to go on from; positions of patches are
    interpolated where it was shown larger or smaller images. Returns what that one has learned from.

    Raises:
        ValueError: none, or one of other classes or sizes.
    """
    folder = model_folder(folder)
    card = _card(folder)
    if card["classes"] != detector.classes:
        raise ValueError(
            f"{folder} finds {', '.join(card['classes'])}, and here are {', '.join(detector.classes)}: map them onto "
            "each other by `classes`, or set `single_class`."
        )
    state = _SAVED.read_weights(folder)
    tower = detector.backbone.visual_encoder
    prefix = 0 if tower.no_embed_class else tower.num_prefix_tokens
    if _POSITIONS in state:
        state[_POSITIONS] = resize_positions(state[_POSITIONS], tower.patch_embed.grid_size, prefix, antialias=True)
    try:
        detector.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"{folder / _SAVED.weights} has another encoder, size or head ({str(error).splitlines()[0]})."
        ) from None
    return learned_by(folder)


def learned_by(folder: Path) -> list[Learned]:
    """What a saved detector has learned from.

    Raises:
        ValueError: no detector, or a broken card.
    """
    card = _card(model_folder(folder))
    found = []
    for one in card["learned"]:
        blocks = one.get("blocks")
        known = None if blocks is None else [str(block) for block in blocks]
        found.append(Learned(str(one["dataset_fingerprint"]), [str(tile) for tile in one["tiles"]], known))
    return found


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights of a detector, or of the one in a run folder."""
    return _SAVED.sha256(model_folder(folder))


def check_learned(
    learned: Sequence[Learned],
    fingerprint: str,
    group_of: Mapping[str, str],
    test: Mapping[str, str],
    folder: Path,
) -> str:
    """What cannot be compared of what a detector has learned from, as a sentence; "" where all could be.

    Args:
        learned: what it has learned from.
        fingerprint: of the data set that is measured.
        group_of: tile of that set -> group of near copies.
        test: tile to be measured -> its block.
        folder: of the detector, for the message.

    Raises:
        ValueError: it has learned from tiles to be measured or from copies of them, or in another data set from the
            same images or places.
    """
    asked = {group_of[tile] for tile in test}
    for one in learned:
        known = one.dataset_fingerprint == fingerprint
        shared = [tile for tile in one.tiles if group_of.get(tile) in asked] if known else []
        if shared:
            raise ValueError(
                f"The detector of {folder} has learned from {len(shared)} of the tiles to be measured, or from copies "
                f"of them (first: {shared[0]}): measure the fold that it was measured on."
            )
        # Another import of the same images, or a set that holds them as a part, has another fingerprint.
        if not known and one.blocks and (same := sorted(same_places(test.values(), one.blocks))):
            raise ValueError(
                f"The detector of {folder} has learned, in another data set, from {len(same)} of the images or places "
                f"to be measured (first: {same[0]}): measure on others."
            )
    if any(one.blocks is None and one.dataset_fingerprint != fingerprint for one in learned):
        return (
            "The detector that training went on from does not say which images of other data sets it learned from: "
            "that they are none of the measured ones cannot be assured."
        )
    return ""


def model_folder(folder: Path) -> Path:
    """The folder of a detector: the one given, or `model` in that of its run."""
    return _SAVED.folder(folder)


def _card(folder: Path) -> dict[str, Any]:
    card = _SAVED.read_card(folder)
    learned = all(
        isinstance(one, dict)
        and isinstance(one.get("tiles"), list)
        and isinstance(one.get("blocks"), list | None)
        and "dataset_fingerprint" in one
        for one in card["learned"]
    )
    _SAVED.require(learned and bool(card["classes"]), folder)
    return card
