"""What int8 costs: outputs of both graphs on images of the user, and scores where these have labels.

Every figure stands beside the float graph's, or beside what one gets without the image.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch

from knowlip.base.progress import say, track
from knowlip.base.rows import Json
from knowlip.inference.export.given import GivenImages
from knowlip.inference.export.graph import open_session, timed_ms
from knowlip.inference.export.heads import found_again, read_detector, shown_to_detector
from knowlip.language.captions import compose_texts
from knowlip.models.knowlip import KnowLIP
from knowlip.models.towers import resize
from knowlip.tasks.detect_rows import truth_table
from knowlip.tasks.masked import ClassMasks
from knowlip.tasks.metrics.boxes import coco_scores
from knowlip.tasks.metrics.segmentation import confusion_of, mean_iou
from knowlip.tasks.objects import ClassMap, read_objects
from knowlip.tasks.segmenter import slid

_SURE: Final = 0.5
"""Score from which a box is asked for again."""
_STRIDE: Final = 0.75
_TEXTS: Final = 500


@dataclass(frozen=True)
class Both:
    """A graph in float and in int8."""

    float32: Path
    int8: Path

    def facts(self, inputs: Mapping[str, np.ndarray]) -> dict[str, Json]:
        """Size and time of both."""
        found: dict[str, Json] = {}
        for name, file in (("float32", self.float32), ("int8", self.int8)):
            found[f"{name}_mb"] = round(file.stat().st_size / 1e6, 3)
            found[f"{name}_ms"] = round(timed_ms(open_session(file), inputs), 3)
        return {"file": self.int8.name, **found, "inputs_timed": {k: list(v.shape) for k, v in inputs.items()}}


# ---- towers ---------------------------------------------------------------------------------------------------------


def image_inputs(images: GivenImages, model: KnowLIP) -> list[dict[str, np.ndarray]]:
    """Images one by one as the image tower takes them."""
    side = model.config.vision.image_size
    return [{"pixels": resize(pixels, side)[None]} for pixels in images]


def text_inputs(images: GivenImages, model: KnowLIP) -> list[dict[str, np.ndarray]]:
    """Captions of the tiles one by one as the text tower takes them; [] where there are none."""
    if images.data is None or not images.data.revisions():
        return []
    rows = images.data.texts()
    rows = rows[rows["tile_id"].isin(set(images.names))]
    found = []
    for text in [text for text in compose_texts(rows).values() if text][:_TEXTS]:
        ids, mask = model.frame([text], grounded=False)
        found.append({"ids": ids.cpu().numpy(), "mask": mask.long().cpu().numpy()})
    return found


def tower_loss(both: Both, inputs: Sequence[Mapping[str, np.ndarray]], output: str) -> dict[str, Json]:
    """Cosine between the embeddings of both graphs, beside that between the embeddings of different inputs."""
    rows = {}
    for file in (both.float32, both.int8):
        session = open_session(file)
        rows[file] = np.concatenate(
            [session.run([output], dict(one))[0] for one in track(inputs, f"measure {file.name}")]
        )
    own = (rows[both.float32] * rows[both.int8]).sum(1)
    others = rows[both.float32] @ rows[both.float32].T
    apart = others[~np.eye(len(others), dtype=bool)]
    floor = float(apart.mean()) if len(apart) else None
    return {
        **both.facts(inputs[0]),
        "n": len(inputs),
        "cosine": {"mean": float(own.mean()), "least": float(own.min()), "of_different_inputs": floor},
    }


# ---- detectors ------------------------------------------------------------------------------------------------------


def detector_loss(
    both: Both,
    images: GivenImages,
    sides: tuple[int, int],
    classes: Sequence[str],
    label: str,
    named: Mapping[str, str],
    reference: Callable[[np.ndarray, str], pd.DataFrame],
) -> dict[str, Json]:
    """Boxes that int8 finds again, and average precision of PyTorch and both graphs where the images are tiles with
    boxes.

    Args:
        both: the graphs.
        images: to look at.
        sides: of the input.
        classes: of the detector.
        label: column of the annotations.
        named: name in the data -> class.
        reference: what PyTorch finds in an image of a name, as whoever uses the detector shows it.
    """
    # Each image passes through all three, so that no image need be kept.
    one, other = open_session(both.float32), open_session(both.int8)
    tables: dict[str, list[pd.DataFrame]] = {"pytorch": [], "float32": [], "int8": []}
    again = sure = extra = 0
    first: dict[str, np.ndarray] = {}
    for name, pixels in track(zip(images.names, images), "measure the detector", len(images)):
        inputs = shown_to_detector(pixels, sides)
        first = first or inputs
        want, got = one.run(None, inputs), other.run(None, inputs)
        tables["float32"].append(read_detector(name, want, inputs, pixels, classes))
        tables["int8"].append(read_detector(name, got, inputs, pixels, classes))
        tables["pytorch"].append(reference(pixels, name))
        both_have, asked = found_again(got, want, _SURE)
        again, sure = again + both_have, sure + asked
        extra += int((np.asarray(got[1]) >= _SURE).sum())
    found: dict[str, Json] = {
        **both.facts(first),
        "n": len(images),
        "boxes": {"least_score": _SURE, "float32": sure, "found_again": again, "int8": extra},
    }
    if images.data is not None and len(images.data.annotations()):
        try:
            found["scores"] = _precision(tables, images, classes, label, named)
        except ValueError as error:  # labels of whole tiles: there is nothing to score, and the graphs are sound
            say(f"No score is measured: {error}")
            found["scores"] = {"note": str(error)}
    return found


def _precision(
    tables: Mapping[str, Sequence[pd.DataFrame]],
    images: GivenImages,
    classes: Sequence[str],
    label: str,
    named: Mapping[str, str],
) -> dict[str, Json]:
    """AP and AP50 by COCO's protocol."""
    assert images.data is not None
    single = classes[0] if list(classes) == ["object"] and not named else ""
    objects, left = read_objects(images.data, images.names, label, ClassMap(named, single))
    truth = truth_table(objects)
    strange = sorted({*truth["category"]} - {*classes})
    known = truth[truth["category"].isin(set(classes))]
    if not len(known):
        say(
            f"{images.told}: no box is of a class of the detector ({', '.join(classes)}), so that no score is "
            "measured: give --classes."
        )
        return {"note": "no box is of a class of the detector", "classes_of_the_data": list(strange)}
    found: dict[str, Json] = {"objects": len(known), "left_out": dict(left)}
    if strange:
        found["classes_left_out"] = list(strange)
        say(f"{images.told}: boxes of {', '.join(strange)} are no class of the detector and are left out.")
    for name, parts in tables.items():
        scores = coco_scores(pd.concat(parts, ignore_index=True), known, images.names)
        found[name] = {key: scores[key] if np.isfinite(scores[key]) else None for key in ("AP", "AP50")}
    return found


# ---- segmenters -----------------------------------------------------------------------------------------------------


def segmenter_loss(
    both: Both,
    images: GivenImages,
    crop: int,
    classes: Sequence[str],
    reference: Callable[[np.ndarray], np.ndarray],
) -> dict[str, Json]:
    """Pixels that both graphs call the same, and mIoU of PyTorch and both where the images are tiles with masks.

    Args:
        both: the graphs.
        images: to look at.
        crop: side of the window.
        classes: of the segmenter.
        reference: what PyTorch calls the pixels of an image.
    """
    # Windows slide as in PyTorch, so that the three differ by nothing but the graph.
    sessions = {"float32": open_session(both.float32), "int8": open_session(both.int8)}
    masks = _masks(images, classes)
    matrices = {name: np.zeros((len(classes),) * 2, np.int64) for name in ("pytorch", *sessions)}
    same = pixels_seen = 0
    counts = np.zeros(len(classes), np.int64)
    for name, pixels in track(zip(images.names, images), "measure the segmenter", len(images)):
        said = {"pytorch": reference(pixels)}
        for by, session in sessions.items():

            def look(crops: np.ndarray, session: Any = session) -> torch.Tensor:
                return torch.from_numpy(session.run(None, {"pixels": crops})[0])

            said[by] = slid(look, len(classes), pixels, crop, _STRIDE)
        same += int((said["float32"] == said["int8"]).sum())
        pixels_seen += pixels.size
        counts += np.bincount(said["float32"].ravel(), minlength=len(classes))
        if masks is not None and name in masks.shape_of:
            mask = masks.read(name)[1]
            for by, one in said.items():
                matrices[by] += confusion_of(mask, one, len(classes))
    found: dict[str, Json] = {
        **both.facts({"pixels": np.zeros((1, crop, crop), np.uint8)}),
        "n": len(images),
        "same_pixels": {"share": same / pixels_seen, "of_the_commonest_class": float(counts.max() / pixels_seen)},
    }
    if matrices["pytorch"].sum():
        truth = matrices["pytorch"].sum(1)
        majority = np.zeros_like(matrices["pytorch"])
        majority[:, int(truth.argmax())] = truth
        found["scores"] = {
            "pixels": int(truth.sum()),
            "majority_class": {"mIoU": mean_iou(majority)},
            **{name: {"mIoU": mean_iou(matrix)} for name, matrix in matrices.items()},
        }
    return found


def _masks(images: GivenImages, classes: Sequence[str]) -> ClassMasks | None:
    """Masks of the classes of the segmenter; None where there are none, which is said where there are others."""
    if images.data is None or not images.data.mask_classes:
        return None
    masks = ClassMasks(images.data)
    if masks.classes != list(classes):
        say(
            f"{images.told} has masks of {', '.join(masks.classes)}, the segmenter knows {', '.join(classes)}: no "
            "score is measured."
        )
        return None
    return masks
