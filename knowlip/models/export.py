"""Both towers as ONNX files that run without PyTorch, checked against it before anything is written.

The image tower takes 8-bit pixels: conversion, normalisation, projection and unit length are inside. The text tower
takes token ids of the `tokenizer.json` beside it. What stands between a picture and the first, and between two
embeddings and a similarity, is written in `export.json`.
"""

import contextlib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypedDict

import numpy as np
import torch
from tokenizers import Tokenizer, processors
from torch import Tensor, nn

from knowlip.base.files import check_replaceable, whole_folder, write_json
from knowlip.base.progress import say
from knowlip.base.provenance import provenance
from knowlip.models.checkpoint import load_model
from knowlip.models.knowlip import KnowLIP

FORMAT = 1
OPSET = 18
TOLERANCE = 1e-4
"""Largest difference between ONNX Runtime and PyTorch, in units of the output (1 for embeddings) or, where it is
larger, of the output's largest value."""
_ONE_FILE = 1_800_000_000
"""Bytes of weights up to which a tower is one file: a protocol buffer ends at 2 GiB."""


@dataclass(frozen=True)
class ExportConfig:
    """What to export, and where to."""

    model: Path
    """Model folder, or USER/REPO of the Hugging Face hub."""
    out: Path
    """Folder to write; replaced when it exists."""

    POSITIONAL = ("model",)


class ImageTower(nn.Module):
    """Pixels (B, S, S) uint8 -> embedding (B, E) of unit length, tokens (B, N, V).

    A model that is told the width on the ground is told here that it is not known.
    """

    def __init__(self, model: KnowLIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        tokens, embedding = self.model.encode_images(self.model.normalise(pixels))
        return embedding, tokens


class TextTower(nn.Module):
    """Token ids and mask (B, T) int64, 1 on real tokens -> embedding (B, E) of unit length."""

    def __init__(self, model: KnowLIP) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model.embed_ids(ids, mask != 0)


class Exported(TypedDict):
    """Where the files are, and the largest difference of each tower from PyTorch."""

    out: str
    image_difference: float
    text_difference: float


def export_model(config: ExportConfig) -> Exported:
    """Write `image.onnx`, `text.onnx`, `tokenizer.json` and `export.json`, all or nothing.

    Raises:
        ValueError: no such model, ONNX is not installed, or the towers differ from PyTorch by more than `TOLERANCE`.
    """
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]:
        raise ValueError(f'Export needs {", ".join(missing)}: install it with `pip install "knowlip[export]"`.')
    check_replaceable(config.out, "export.json", ("image.onnx*", "text.onnx*", "tokenizer.json"))
    model = load_model(config.model)
    size, longest = model.config.vision.image_size, model.config.text.max_length
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=longest)
    pixels = torch.zeros(2, size, size, dtype=torch.uint8)
    ids = torch.ones(2, min(8, longest), dtype=torch.long)
    mask = ids.clone()  # one tensor given twice would become one input
    images = [{"pixels": image} for image in _images(size)]
    with whole_folder(config.out) as part:
        towers = {
            "image": _tower(
                part / "image.onnx",
                ImageTower(model),
                {"pixels": pixels},
                {"pixels": {0: batch}},
                ["image_embedding", "image_tokens"],
                images,
            ),
            "text": _tower(
                part / "text.onnx",
                TextTower(model),
                {"ids": ids, "mask": mask},
                {"ids": {0: batch, 1: length}, "mask": {0: batch, 1: length}},
                ["text_embedding"],
                _texts(model),
            ),
        }
        exported_tokenizer(model).save(str(part / "tokenizer.json"))
        write_json(part / "export.json", {"format": FORMAT, "opset": OPSET, **towers, **_use(model), **_origin(model)})
    image, text = (max(towers[name]["difference"].values()) for name in ("image", "text"))
    return {"out": str(config.out), "image_difference": image, "text_difference": text}


def exported_tokenizer(model: KnowLIP) -> Tokenizer:
    """The tokenizer as the text tower wants it: [CLS] before, [SEP] behind, cut to the model's length, padded."""
    ours = model.tokenizer
    tokenizer = Tokenizer.from_str(ours.to_json())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ours.cls), ("[SEP]", ours.sep)]
    )
    tokenizer.enable_truncation(model.config.text.max_length)
    tokenizer.enable_padding(pad_id=ours.pad, pad_token="[PAD]")
    return tokenizer


def _tower(
    file: Path,
    tower: nn.Module,
    example: Mapping[str, Tensor],
    sizes: Mapping[str, Any],
    outputs: Sequence[str],
    tests: Sequence[Mapping[str, Tensor]],
) -> dict[str, Any]:
    """Export one tower and compare it with PyTorch on `tests`; what `export.json` says of it."""
    say(f"exporting {file.name}")
    tower.eval()
    weights = sum(tensor.nbytes for tensor in tower.state_dict().values())
    with torch.inference_mode(False), torch.no_grad(), _quiet():
        torch.onnx.export(
            tower,
            tuple(example.values()),
            str(file),
            dynamo=True,
            dynamic_shapes=tuple(sizes.values()),
            input_names=list(example),
            output_names=list(outputs),
            opset_version=OPSET,
            external_data=weights > _ONE_FILE,
        )
    difference = _difference(file, tower, outputs, tests)
    worst = max(difference, key=lambda name: difference[name])
    if not difference[worst] <= TOLERANCE:
        raise ValueError(
            f"{file.name} does not compute what the model does: {worst} differs by {difference[worst]:.2g}, more than "
            f"{TOLERANCE:g}. Nothing was written; try another version of onnxscript or onnxruntime."
        )
    described = _described(file)
    return {"file": file.name, **described, "difference": difference}


def _difference(
    file: Path, tower: nn.Module, outputs: Sequence[str], tests: Sequence[Mapping[str, Tensor]]
) -> dict[str, float]:
    """Largest difference of each output over all tests."""
    session = _session(file)
    found = dict.fromkeys(outputs, 0.0)
    for test in tests:
        got = session.run(list(outputs), {name: tensor.numpy() for name, tensor in test.items()})
        with torch.inference_mode():
            want = tower(*test.values())
        for name, g, w in zip(outputs, got, want if isinstance(want, tuple) else (want,)):
            reference = w.numpy()
            if g.shape != reference.shape:
                raise ValueError(f"{file.name} gives {name} the shape {g.shape} instead of {reference.shape}.")
            scale = max(1.0, float(np.abs(reference).max()))
            found[name] = max(found[name], float(np.abs(g - reference).max()) / scale)
    return found


def _session(file: Path) -> Any:
    return import_module("onnxruntime").InferenceSession(str(file), providers=["CPUExecutionProvider"])


def _images(size: int) -> list[Tensor]:
    """Test images: speckle in batches of one and three, no data, saturation."""
    chance = torch.Generator().manual_seed(0)
    speckle = [torch.randint(0, 256, (n, size, size), generator=chance, dtype=torch.uint8) for n in (1, 3)]
    return [*speckle, torch.zeros(1, size, size, dtype=torch.uint8), torch.full((2, size, size), 255).byte()]


def _texts(model: KnowLIP) -> list[dict[str, Tensor]]:
    """Test texts: random words of all lengths up to the model's, alone and padded in a batch."""
    chance, tokenizer = np.random.default_rng(0), model.tokenizer
    longest = model.config.text.max_length
    tests = []
    for lengths in ([1], [longest - 2], [longest - 2, 3, longest // 2], [0, 4]):
        words = [chance.integers(tokenizer.mask + 1, tokenizer.dec, length).tolist() for length in lengths]
        framed = [tokenizer.frame(ids, longest) for ids in words]
        width = max(map(len, framed))
        ids = torch.tensor([ids + [tokenizer.pad] * (width - len(ids)) for ids in framed])
        mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in framed])
        tests.append({"ids": ids, "mask": mask})
    return tests


def _described(file: Path) -> dict[str, Any]:
    """Names, types and shapes of a model's inputs and outputs, as ONNX Runtime sees them."""
    session = _session(file)
    return {
        side: {node.name: {"type": node.type[7:-1], "shape": node.shape} for node in nodes}
        for side, nodes in (("inputs", session.get_inputs()), ("outputs", session.get_outputs()))
    }


_WIDTH: Final = {"ground_sampling": "not told: the exported tower takes the metres of a pixel as unknown"}


def _use(model: KnowLIP) -> dict[str, Any]:
    """What one must know to feed the towers and to read what they give."""
    vision = model.config.vision
    return {
        "preprocessing": {
            "image_size": vision.image_size,
            "channels": 1,
            "resize": "bilinear, antialiased (Pillow's BILINEAR), where the image is not of image_size",
            "no_data": 0,
            **(_WIDTH if vision.ground_sampling else {}),
            "normalisation": "inside image.onnx: (pixels / 255 - mean) / std",
            "mean": vision.mean,
            "std": vision.std,
        },
        "tokenizer": {
            "file": "tokenizer.json",
            "frame": "[CLS] text [SEP], by the file",
            "max_length": model.config.text.max_length,
        },
        "similarity": "dot product of the embeddings; divided by temperature it is a logit",
        "temperature": float(model.temp.detach()),
    }


def _origin(model: KnowLIP) -> dict[str, Any]:
    card = {name: value for name, value in model.card.items() if name != "command"}
    versions = {name: version(name) for name in ("onnx", "onnxscript", "onnxruntime")}
    return {"card": card, "versions": provenance()["versions"] | versions}


@contextlib.contextmanager
def _quiet() -> Any:
    """The exporter prints its progress and warns of its own future."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
