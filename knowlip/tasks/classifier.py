"""A head on an encoder's summary, and a folder that holds it: linear (on a frozen encoder, or with all of it), or the
k nearest of the tiles that were learned from.

Shapes: B rows, T tiles, N tiles learned from, C classes, D width of the encoder.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from knowlip.base.files import sha256, whole_file
from knowlip.base.rows import Json
from knowlip.models.encoders import Encoder, encoder_sha256, open_encoder
from knowlip.tasks.chips import CONTRAST, Contrast
from knowlip.tasks.classify_settings import MODES, VIEWS, Mode
from knowlip.tasks.saved import SavedKind, check_encoder, frozen_sha256
from knowlip.tasks.taught_on import ENTRY, TaughtOn, read_taught_on
from knowlip.training.augment import GreyScale

TOLD: Final = {"linear": "linear probe", "full": "fine-tuned", "knn": "k-NN"}
"""Modes for people."""
_SAVED = SavedKind("classifier", {"encoder": str, "size": int | None, "mode": str, "classes": list})
_AT_ONCE = 256
_STRENGTH = 1e-3
"""Inverse regularisation of the regression that a head begins as: the fewer tiles than numbers, the more it matters."""
_TEMPERATURE = 0.07
"""Of the votes of neighbours, as DINO weighs them."""


@dataclass
class LabelledImages:
    """A process's share of a pass."""

    images: Tensor
    """Tiles (B, S, S) uint8; summaries (B, D) of a frozen encoder."""
    label_B: Tensor
    scale: GreyScale | None = None
    seed_B: Tensor | None = None
    """Chance of the augmentation of each image."""


class Classifier(nn.Module):
    """A head on an encoder's summary.

    Args:
        encoder: gives the summary. In mode "full" its weights are part of this module.
        classes: their names.
        mode: what learns; "knn" learns nothing and remembers.
        dropout: share of the summary that the head does not see in training.
        neighbours: how many vote, in mode "knn".
        known: tiles that mode "knn" will remember.
        views: orientations of a tile that :func:`predict` asks.
    """

    mean_D: Tensor
    std_D: Tensor
    known_ND: Tensor
    label_N: Tensor

    def __init__(
        self,
        encoder: Encoder,
        classes: Sequence[str],
        mode: Mode,
        dropout: float = 0.0,
        neighbours: int = 1,
        known: int = 0,
        views: int = 1,
    ) -> None:
        super().__init__()
        self.views = views
        self.encoder, self.classes, self.mode, self.neighbours = encoder, list(classes), mode, neighbours
        if mode == "full":
            self.visual_encoder = encoder.module
        self.register_buffer("mean_D", torch.zeros(encoder.width))
        self.register_buffer("std_D", torch.ones(encoder.width))
        if mode == "knn":
            self.register_buffer("known_ND", torch.zeros(known, encoder.width))
            self.register_buffer("label_N", torch.zeros(known, dtype=torch.int64))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.width, len(classes))

    def standardise(self, summary_TD: Tensor) -> None:
        """Bring the summaries of a frozen encoder to mean 0 and deviation 1: one learning rate then serves all."""
        self.mean_D.copy_(summary_TD.mean(0))
        deviation = summary_TD.std(0)
        self.std_D.copy_(torch.where(deviation > 1e-6, deviation, 1.0))

    def fit(self, summary_ND: Tensor, label_N: Tensor) -> None:
        """Begin as a logistic regression on the standardised summaries of the tiles to learn from."""
        values = ((summary_ND.to(self.mean_D) - self.mean_D) / self.std_D).cpu().double().numpy()
        found = LogisticRegression(C=_STRENGTH, max_iter=300).fit(values, label_N.numpy())
        weight, bias = found.coef_, found.intercept_
        if len(weight) == 1:  # of two classes scikit-learn keeps the difference
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(weight))
            self.head.bias.copy_(torch.from_numpy(bias))

    def remember(self, summary_ND: Tensor, label_N: Tensor) -> None:
        """What neighbours are looked for among, in mode "knn"."""
        self.known_ND.copy_(F.normalize((summary_ND.to(self.mean_D) - self.mean_D) / self.std_D, dim=-1))
        self.label_N.copy_(label_N)

    def logits(self, images: Tensor) -> Tensor:
        """Tiles (B, S, S) uint8, or their summaries (B, D) -> (B, C)."""
        summary_BD = self.encoder.summary(images) if images.dtype == torch.uint8 else images
        summary_BD = (summary_BD - self.mean_D) / self.std_D
        if self.mode == "knn":
            return self._votes(summary_BD)
        return cast(Tensor, self.head(self.dropout(summary_BD))).float()

    def _votes(self, summary_BD: Tensor) -> Tensor:
        """Logarithm of the votes of the nearest by cosine: each weighs exp(cosine / 0.07) (Wu et al. 2018; DINO)."""
        cosine_BN = F.normalize(summary_BD, dim=-1) @ self.known_ND.T
        near_BK, place_BK = cosine_BN.topk(self.neighbours, dim=1)
        votes_BC = torch.zeros(len(summary_BD), len(self.classes), device=summary_BD.device)
        votes_BC.scatter_add_(1, self.label_N[place_BK], ((near_BK - 1) / _TEMPERATURE).exp())
        return votes_BC.clamp(min=1e-30).log()

    def forward(self, part: LabelledImages, label_smoothing: float) -> tuple[dict[str, Tensor], None]:
        """The loss of a pass."""
        return {"loss": F.cross_entropy(self.logits(part.images), part.label_B, label_smoothing=label_smoothing)}, None


@torch.inference_mode()
def predict(classifier: Classifier, images: np.ndarray) -> Tensor:
    """Probabilities (T, C) on the CPU of tiles (T, S, S) uint8, or of their summaries (T, D); the classifier must be in
    evaluation mode. They are the mean over as many orientations of each tile as `classifier.views` says."""
    device = classifier.mean_D.device
    parts = (
        [part.to(device)] if part.ndim == 2 else _views(part.to(device), classifier.views) for part in _parts(images)
    )
    return torch.cat(
        [torch.stack([classifier.logits(view).softmax(-1) for view in part]).mean(0).cpu() for part in parts]
    )


def _views(images: Tensor, views: int) -> list[Tensor]:
    """The first of: as they are, turned by 180, 90 and 270 degrees, and the same of their mirror images."""
    turned = [images.rot90(quarters, (-2, -1)) for quarters in (0, 2, 1, 3)]
    return [*turned, *(view.flip(-1) for view in turned)][:views]


@torch.inference_mode()
def summaries(encoder: Encoder, images: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Summaries (T, D) float32 on the CPU of tiles (T, S, S) uint8."""
    return torch.cat([encoder.summary(part.to(device)).float().cpu() for part in _parts(images)])


def kept_summaries(
    encoder: Encoder, images: np.ndarray, cache: Path, name: str, device: torch.device | str = "cpu"
) -> Tensor:
    """:func:`summaries`, made once for all runs that share a folder: of other weights or pixels they are others.

    Args:
        encoder: a frozen one.
        images: tiles (T, S, S) uint8.
        cache: the folder.
        name: of the images, which no others have.
        device: where the encoder is.
    """
    key = sha256(f"{name}|{encoder.name}|{encoder_sha256(encoder)}".encode())
    path = cache / f"summaries-{key[:16]}.npy"
    if not path.is_file():
        found = summaries(encoder, images, device).numpy()
        with whole_file(path) as part, part.open("wb") as stream:
            np.save(stream, found)
    return torch.from_numpy(np.load(path))


def _parts(images: np.ndarray) -> Iterator[Tensor]:
    for start in range(0, len(images), _AT_ONCE):
        yield torch.from_numpy(np.array(images[start : start + _AT_ONCE]))


# ---- on disk --------------------------------------------------------------------------------------------------------


def save_classifier(
    classifier: Classifier,
    state: dict[str, Tensor],
    folder: Path,
    encoder: str,
    size: int | None,
    window: str,
    contrast: Contrast = "stored",
    taught: Mapping[str, Json] | None = None,
) -> None:
    """Write `classifier.json` and `classifier.safetensors`, see :mod:`knowlip.tasks.saved`.

    Args:
        classifier: what learned.
        state: its weights and buffers by name.
        folder: where to.
        encoder: name of the encoder.
        size: side of the input that it was opened with.
        window: what of a tile it is shown, in words.
        contrast: of the tiles, as they are stored or evened out.
        taught: what its training tiles were like (:mod:`knowlip.tasks.taught_on`).
    """
    card = {
        "encoder": encoder,
        "size": size,
        "mode": classifier.mode,
        "classes": classifier.classes,
        "neighbours": classifier.neighbours,
        "views": classifier.views,
        "window": window,
        "contrast": contrast,
        ENTRY: taught,
        "encoder_sha256": frozen_sha256(classifier.encoder, classifier.mode == "full"),
    }
    _SAVED.write(folder, card, state)


def load_classifier(folder: Path, device: torch.device | str = "cpu") -> Classifier:
    """Open what :func:`save_classifier` wrote, in evaluation mode; the encoder is opened by its name.

    Raises:
        ValueError: no classifier, a broken one, or its encoder is not there, or has other weights than those it learned
            on.
    """
    card = _SAVED.read_card(folder)
    # The first of this format had linear heads alone, and one view.
    neighbours, views = card.get("neighbours", 1), card.get("views", 1)
    _SAVED.require(isinstance(neighbours, int) and views in VIEWS and card["mode"] in MODES, folder)
    encoder, state = open_encoder(card["encoder"], device, card["size"]), _SAVED.read_weights(folder)
    known = len(state.get("label_N", ()))
    if card["mode"] == "knn" and not 1 <= neighbours <= known:
        raise ValueError(f"{folder} is no sound classifier: {neighbours} of {known} tiles cannot vote.")
    classifier = Classifier(encoder, card["classes"], card["mode"], 0.0, neighbours, known, views)
    _SAVED.fill(classifier, state, folder)
    check_encoder(encoder, card.get("encoder_sha256"), folder)
    return classifier.eval().to(device)


def classifier_taught_on(folder: Path) -> tuple[TaughtOn | None, Contrast]:
    """What the training tiles of a saved classifier were like (None where its card is of before that was kept), and how
    their contrast was.

    Raises:
        ValueError: no classifier, or a broken card.
    """
    card = _SAVED.read_card(folder)
    contrast = card.get("contrast", "stored")
    _SAVED.require(contrast in CONTRAST, folder)
    return read_taught_on(card), contrast


def classifier_folder(folder: Path) -> Path:
    """The folder of a classifier: the one given, or `model` in that of its run."""
    return _SAVED.folder(folder)


def classifier_sha256(folder: Path) -> str:
    """SHA-256 of the weights of a classifier."""
    return _SAVED.sha256(folder)
