"""What a model carries beside its weights."""

from collections.abc import Mapping
from typing import TypedDict, get_type_hints

from pydantic import TypeAdapter, ValidationError


class ModelCard(TypedDict, total=False):
    """Facts saved with a model; what one of another origin does not say is absent."""

    dataset_fingerprint: str
    revision: int
    """Of the texts that it was trained on."""
    train_blocks: list[str]
    """Places that training saw, for the check that measured ones are others."""
    other_sets: list[str]
    """Other data sets that it learned from (those that it was fine-tuned on, and those of the model that it started
    from), as FINGERPRINT NAME; their places are among `train_blocks`."""
    own_split: bool
    """Whether it was trained on the data set's own training split, which is so where nothing is said; else the places
    say what it saw."""
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
    untaught: list[str]
    """Closed questions of its readout that nothing in its trainings answered; what it says of them is chance."""
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


def checked_card(saved: object) -> ModelCard:
    """The card of a model folder.

    Args:
        saved: the value of `card` in its `knowlip.json`, as JSON gives it.

    Raises:
        ValueError: it is no mapping, or a fact is not of its type; the sentence names it. Facts of other names stay.
    """
    if not isinstance(saved, dict):
        raise ValueError(f"card must be a mapping of facts, not {type(saved).__name__}.")
    for name, kind in get_type_hints(ModelCard).items():
        if name in saved:
            try:
                TypeAdapter(kind).validate_python(saved[name], strict=True)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, (name, *first["loc"])))
                raise ValueError(f"card.{where:.80}: {first['msg'].lower()}.") from None
    return saved  # type: ignore[return-value]
