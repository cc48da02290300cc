"""`knowlip selfsup`: train a tower without labels, resume, or report."""

from typing import Any, TypedDict, cast

from knowlip.tasks.selfsup.dino import SelfDistillation
from knowlip.tasks.selfsup.jepa import JointEmbeddingPrediction
from knowlip.tasks.selfsup.mae import MaskedAutoencoding
from knowlip.tasks.selfsup.moco import MomentumContrast
from knowlip.tasks.selfsup.settings import Method, SelfSupConfig
from knowlip.tasks.selfsup.task import SelfSupervision
from knowlip.training.loop import train

TASKS: dict[Method, type[SelfSupervision[Any]]] = {
    "mae": MaskedAutoencoding,
    "moco": MomentumContrast,
    "jepa": JointEmbeddingPrediction,
    "dino": SelfDistillation,
}
"""Method -> its task."""


class SelfSupervised(TypedDict):
    """What was reached."""

    model: str
    """Its folder: an encoder of every task."""
    method: str
    steps: int
    tiles: int
    seconds: float
    images_per_s: float
    last: dict[str, Any]
    """The last line of the log."""
    curve: dict[str, Any]
    """Where the curve of neighbours began, its floors, and where it ended; {} where there is none."""
    cautions: list[str]
    """Signs that little was learned, as sentences."""


def selfsup(config: SelfSupConfig) -> SelfSupervised:
    """Train, resume, or (when the run is finished) report; write the tower into `out/model`.

    Raises:
        ValueError: too few tiles, settings that do not fit the tower, another config in `out`, a loss that is not
            finite.
        ChildProcessError: one of several processes was killed or failed.
    """
    return cast(SelfSupervised, train(TASKS[config.method], config))


def show(result: SelfSupervised) -> str:
    """The result for people."""
    last, curve = result["last"], result["curve"]
    lines = [
        f"{result['model']}: {result['method']} on {result['tiles']} tiles, {result['steps']} steps, "
        f"{result['images_per_s']:.1f} images/s, loss {last.get('loss', float('nan')):.4f}"
    ]
    if curve.get("knn") is not None:
        floors = ", ".join(f"{name} {value:.3f}" for name, value in curve["floors"].items())
        began = curve["random_init"].get("knn", float("nan"))
        lines.append(
            f"k-NN {curve['knn']:.3f} on {curve['asked']} tiles that are no copies (began with {began:.3f}; {floors})"
        )
    elif curve.get("note"):
        lines.append(f"No curve of neighbours: {curve['note']}.")
    lines += [f"Caution: {sentence}" for sentence in result["cautions"]]
    return "\n".join(lines)
