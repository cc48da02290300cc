"""`knowlip export`: a model, detector or segmenter as a folder of ONNX files and one `export.json`; or both towers as
other libraries open them."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from knowlip.base.documents import read_json
from knowlip.base.files import check_replaceable, file_sha256, whole_folder, write_json
from knowlip.base.rows import Json
from knowlip.inference.calibration import read_calibration
from knowlip.inference.export import open_clip
from knowlip.inference.export.given import GivenImages, given_images
from knowlip.inference.export.graph import FORMAT, OPSET, check_packages, versions
from knowlip.inference.export.heads import (
    DETECTOR,
    SEGMENTER,
    input_sides,
    shown_to_detector,
    shown_to_segmenter,
    write_detector,
    write_segmenter,
)
from knowlip.inference.export.int8 import Inputs, write_int8
from knowlip.inference.export.measured import (
    Both,
    detector_loss,
    image_inputs,
    segmenter_loss,
    text_inputs,
    tower_loss,
)
from knowlip.inference.export.settings import ExportConfig, Exported, Kind
from knowlip.inference.export.towers import IMAGE, TEXT, TOKENIZER, write_towers
from knowlip.models import transformers_files
from knowlip.models.card import ModelCard
from knowlip.models.checkpoint import load_model, save_model
from knowlip.models.hub import ANSWERS, CARD, README, WEIGHTS
from knowlip.tasks import detect_folder, segmenter
from knowlip.tasks.detect import found_in
from knowlip.tasks.segmenter import predict

_STRIDE = 0.75


def export_model(config: ExportConfig) -> Exported:
    """Write the graphs, `export.json`, and the tokenizer where there is one, all or nothing.

    Raises:
        ValueError: no such model, a package is missing, a graph that differs from PyTorch by more than the tolerance,
            or nothing to measure int8 on.
    """
    if config.format != "onnx":
        return _folder(config)
    check_packages()
    check_replaceable(config.out, "export.json", ("*.onnx", "*.onnx.data", TOKENIZER))
    kind = kind_of_model(config.model)
    if kind != "detector" and (config.height or config.width or config.classes):
        raise ValueError(f"--height, --width and --classes belong to a detector, and {config.model} is none.")
    # Read before the long part: a wrong name of a data set is known at once.
    measured = None if config.measure is None else given_images(config.measure, "test", config.images)
    shown = None if config.calibrate is None else given_images(config.calibrate, "train", config.images)
    write = {"detector": _detector, "segmenter": _segmenter, "towers": _towers}[kind]
    with whole_folder(config.out) as part:
        entries, loss = write(config, part, measured, shown)
        said: dict[str, Any] = {"format": FORMAT, "opset": OPSET, "kind": kind, **entries, "versions": versions()}
        if measured is not None:
            said["int8"] = loss = {**_told(config, measured, shown), **loss}
        write_json(part / "export.json", said)
    graphs = [entry for entry in entries.values() if isinstance(entry, Mapping) and "difference" in entry]
    differences = {name: value for graph in graphs for name, value in graph["difference"].items()}
    result: Exported = {"out": str(config.out), "kind": kind, "format": "onnx", "differences": differences}
    if measured is not None:
        result["int8"] = loss
    return result


def _folder(config: ExportConfig) -> Exported:
    """The towers as files of weights and settings for other libraries."""
    if (kind := kind_of_model(config.model)) != "towers":
        raise ValueError(f"--format {config.format} is for models with both towers, and {config.model} is a {kind}.")
    written = (
        open_clip.FILES if config.format == "open_clip" else (CARD, WEIGHTS, README, ANSWERS, *transformers_files.FILES)
    )
    check_replaceable(config.out, written[0], written)
    model = load_model(config.model)
    if config.format == "open_clip":
        with whole_folder(config.out) as part:
            open_clip.write_open_clip(part, model, config.repo or str(config.out.resolve()))
    else:
        card = cast(ModelCard, {name: value for name, value in model.card.items() if name != "command"})
        files = transformers_files.transformers_files(model)
        save_model(model, config.out, card, files=files)
        # Without it the copy would answer what the original refuses. Its weights are the same in another file.
        if model.folder is not None and read_calibration(model.folder)[0] is not None:
            said = {**read_json(model.folder / ANSWERS), "weights_sha256": file_sha256(config.out / WEIGHTS)}
            write_json(config.out / ANSWERS, said)
    return {"out": str(config.out), "kind": kind, "format": config.format, "differences": {}}


def kind_of_model(model: Path) -> Kind:
    """What a folder holds: told by the file that describes it."""
    if (detect_folder.model_folder(model) / "detector.json").is_file():
        return "detector"
    if (segmenter.model_folder(model) / "segmenter.json").is_file():
        return "segmenter"
    return "towers"


Written = tuple[dict[str, Any], dict[str, Json]]
"""Entries of `export.json`, and what int8 costs."""


def _towers(config: ExportConfig, part: Path, measured: GivenImages | None, shown: GivenImages | None) -> Written:
    model = load_model(config.model)
    entries = write_towers(part, model)
    card = {name: value for name, value in model.card.items() if name != "command"}
    loss: dict[str, Json] = {}
    if measured is not None:
        image = _small(part, IMAGE, None if shown is None else image_inputs(shown, model))
        loss["image"] = tower_loss(image, image_inputs(measured, model), "image_embedding")
        texts = text_inputs(measured, model)
        if texts:
            loss["text"] = tower_loss(_small(part, TEXT, None), texts, "text_embedding")
        else:
            loss["text"] = "in float32: the images have no texts to measure its loss on"
    return {**entries, "card": card}, loss


def _detector(config: ExportConfig, part: Path, measured: GivenImages | None, shown: GivenImages | None) -> Written:
    folder = detect_folder.model_folder(config.model)
    detector = detect_folder.load_detector(folder)
    sides = input_sides(detector, config.height, config.width)
    entries = write_detector(part, detector, sides)
    loss: dict[str, Json] = {}
    if measured is not None:
        scales = None if shown is None else (shown_to_detector(pixels, sides) for pixels in shown)
        small = _small(part, DETECTOR, scales)

        def reference(pixels: np.ndarray, name: str) -> pd.DataFrame:
            return found_in(detector, [pixels], [name])[0]

        loss = detector_loss(small, measured, sides, detector.classes, config.label, config.classes, reference)
    return {**entries, "weights_sha256": detect_folder.weights_sha256(folder)}, loss


def _segmenter(config: ExportConfig, part: Path, measured: GivenImages | None, shown: GivenImages | None) -> Written:
    folder = segmenter.model_folder(config.model)
    crop = segmenter.segmenter_taught_on(folder)[1]
    model = segmenter.load_segmenter(folder)
    entries = write_segmenter(part, model, crop)
    loss: dict[str, Json] = {}
    if measured is not None:
        scales = None if shown is None else (shown_to_segmenter(pixels, crop) for pixels in shown)
        small = _small(part, SEGMENTER, scales)

        def reference(pixels: np.ndarray) -> np.ndarray:
            return predict(model, pixels, crop, _STRIDE)

        loss = segmenter_loss(small, measured, crop, model.classes, reference)
    return {**entries, "crop": crop, "weights_sha256": segmenter.weights_sha256(folder)}, loss


def _small(part: Path, name: str, shown: Iterable[Inputs] | None) -> Both:
    """The int8 graph beside the float one."""
    both = Both(part / name, part / f"{Path(name).stem}-int8.onnx")
    write_int8(both.float32, both.int8, shown)
    return both


def _told(config: ExportConfig, measured: GivenImages, shown: GivenImages | None) -> dict[str, Json]:
    """How int8 came about, and on what it was measured."""
    found: dict[str, Json] = {"by": config.int8, "measured_on": measured.told}
    if shown is not None:
        found["calibrated_on"] = shown.told
        known = shown.folder.resolve() == measured.folder.resolve()
        both = len({*shown.names} & {*measured.names}) if known else 0
        if both:
            found["note"] = f"{both} of the measured images are among those that gave the scales: the loss may be more."
    return found


def show(result: Exported) -> str:
    """The result for people."""
    if result["format"] != "onnx":
        opened = {"open_clip": "open_clip.create_model_from_pretrained", "transformers": "transformers.AutoModel"}
        return f"{result['out']}: both towers for {opened[result['format']]}"
    differences = ", ".join(f"{name} {value:.2g}" for name, value in result["differences"].items())
    lines = [f"{result['out']}: {result['kind']}; largest difference from PyTorch: {differences}"]
    for name, value in result.get("int8", {}).items():
        lines += _lines(f"int8 {name}", value)
    return "\n".join(lines)


def _lines(name: str, value: Json) -> list[str]:
    """An entry of the loss, groups of groups line by line."""
    if not isinstance(value, Mapping):
        return [f"{name}: {value}"]
    plain = {key: one for key, one in value.items() if not isinstance(one, Mapping | list)}
    words = ", ".join(f"{key} {one:.4g}" if isinstance(one, float) else f"{key} {one}" for key, one in plain.items())
    lines = [f"{name}: {words}"] if plain else []
    for key, one in value.items():
        if isinstance(one, Mapping) and key != "inputs_timed":
            lines += _lines(f"{name} {key}", cast(Json, one))
    return lines
