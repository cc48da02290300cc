"""What a model carries beside its weights."""

from collections.abc import Mapping
from typing import TypedDict


class ModelCard(TypedDict, total=False):
    """Facts saved with a model; what one of another origin does not say is absent."""

    dataset_fingerprint: str
    revision: int
    """Of the texts that it was trained on."""
    train_blocks: list[str]
    """Places that training saw, for the check that measured ones are others."""
    tiles: int
    epoch_rows: Mapping[str, float]
    """Instruction set and scale -> tiles of it in an epoch."""
    quantiser: list[str]
    metres_per_pixel: list[float]
    """Least and most; empty where not known."""
    windows_m: list[float]
    sensors: list[str]
    run: str
    finetuned_on: str
    questions: int
    epoch_questions: Mapping[str, float]
    """Type and answer -> such questions in an epoch of fine-tuning."""
    unturned_questions: int
    """Questions that name a direction which is not understood: their tiles were not turned."""
    license: str
    weights: Mapping[str, object]
    """Where the weights of other projects come from, tensor by tensor: of a converted model the report
    (:class:`knowlip.models.weights.ledger.WeightsReport`), of a trained one the report of each part that started so."""
    origin: Mapping[str, object]
    """Of the model that comes with KnowLIP: recipe, trainings, scenes, and what half precision changed."""
    measured: Mapping[str, float]
    """Of the model that comes with KnowLIP: metric -> what it reaches on places that its training never saw."""
    usual_answers: Mapping[str, Mapping[str, str]]
    """Type of question -> subject ("" is any) -> the most frequent answer of its training: what blind guessing says."""
    python: str
    """This and what follows is of :func:`knowlip.base.provenance.provenance`."""
    machine: str
    command: str
    commit: str
    versions: dict[str, str]
