"""What is known of a model's answers from where the truth is known: how sure they may be taken to be, from which
confidence on they are given, and on which pixels they can be.

`answers.json` beside the weights, made by `python -m benchmarks.ask_evidence`. It belongs to these very weights, by
their SHA-256: beside others it is passed over, and that is said.
"""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from knowlip.annotators.measured.visible import Claim, Visibility, visible
from knowlip.base.documents import read_json
from knowlip.base.files import file_sha256
from knowlip.language.questions import QuestionType, answers_of
from knowlip.models.hub import ANSWERS, WEIGHTS

FORMAT: Final = "knowlip-answers-1"
_CLAIMS: Final[Mapping[QuestionType, str]] = {
    QuestionType.COUNT: "count",
    QuestionType.RECOGNITION: "type",
    QuestionType.POSITION: "location",
}
_CANNOT: Final[Mapping[QuestionType, str]] = {
    QuestionType.COUNT: "{plural} cannot be counted",
    QuestionType.RECOGNITION: "{subject} types cannot be told",
    QuestionType.POSITION: "{plural} cannot be placed",
    QuestionType.MAIN_LANDFORM: "landforms cannot be told",
    QuestionType.ALL_LANDFORMS: "landforms cannot be told",
    QuestionType.REGIONAL_LANDFORM: "landforms cannot be told",
}


class KindFacts(NamedTuple):
    """What was measured of one kind of question about one subject."""

    temperature: float
    """By which log-probabilities of candidates are divided."""
    floor: float
    """Share of right answers without looking at an image."""
    least: float
    """Calibrated confidence from which on an answer is given."""
    coarsest_m: float
    """Largest pixels, in metres, on which answers are righter than without looking; infinite where nobody knows."""
    candidates: tuple[str, ...]
    """Answers that are chosen from."""


class ChangeFacts(NamedTuple):
    """What two days of simulated places come to where nothing has changed but the speckle (and, with it, the levels of
    the scenes)."""

    high: float
    """Distance of vectors that a share `level` of them stays below, on places that were not looked at."""
    median: float
    level: float
    places: int
    windows: int
    other_answers: Mapping[QuestionType, Mapping[str, float]]
    """Kind of question -> subject -> share of the windows with another answer on the other day."""

    def other_answers_to(self, kind: QuestionType | None, subject: str) -> float | None:
        """Share of unchanged windows with another answer; None where it was not measured."""
        return None if kind is None else self.other_answers.get(kind, {}).get(subject)


class TotalFacts(NamedTuple):
    """How far the numbers of whole scenes are off."""

    spread: float
    """Distance of the square roots of the true and of the expected number that `level` of the scenes stay below."""
    level: float
    scenes: int
    places: int


class Calibration:
    """Facts about the answers of a model.

    Args:
        kinds: kind of question -> subject ("" is any) -> facts.
        absent: category -> probability of the number 0 from which on its type and place are not told.
        let_through: words without a place that a question may have.
        changes: of two days without a change; None where nobody measured it.
        totals: category -> of numbers of whole scenes.
    """

    def __init__(
        self,
        kinds: Mapping[QuestionType, Mapping[str, KindFacts]],
        absent: Mapping[str, float],
        let_through: int,
        changes: ChangeFacts | None = None,
        totals: Mapping[str, TotalFacts] | None = None,
    ) -> None:
        self.kinds, self.absent, self.let_through = kinds, absent, let_through
        self.changes, self.totals = changes, totals or {}

    def of(self, kind: QuestionType, subject: str) -> KindFacts | None:
        """Facts of a question."""
        by_subject = self.kinds.get(kind, {})
        return by_subject.get(subject) or by_subject.get("")


def softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (A,) of log-probabilities under a temperature."""
    shifted = scores.astype(float) / temperature
    shifted = np.exp(shifted - shifted.max())
    return np.asarray(shifted / shifted.sum())


def cannot(kind: QuestionType, subject: str, metres: float) -> str:
    """That a question cannot be answered on pixels of a size, in a sentence."""
    plural = {"ship": "ships", "aircraft": "aircraft"}.get(subject, "targets")
    what = _CANNOT[kind].format(plural=plural, subject=subject or "target")
    return f"{what[0].upper()}{what[1:]} at {metres:.3g} m a pixel."


def too_coarse(kind: QuestionType, subject: str, metres: float, facts: KindFacts | None) -> bool:
    """Whether pixels of a size cannot show what is asked: by what was measured of the model, and by what such pixels
    show at all (:mod:`knowlip.annotators.measured.visible`).

    Args:
        kind: of the question.
        subject: "ship" or "aircraft" of questions about targets.
        metres: side of a pixel of the image on the ground.
        facts: of the model's answers.
    """
    if facts is not None and metres > facts.coarsest_m:
        return True
    claim: Any = f"{subject}-{_CLAIMS[kind]}" if kind in _CLAIMS and subject in ("ship", "aircraft") else "field"
    named: Claim = claim
    return visible(named, metres) is Visibility.HIDDEN


def read_calibration(folder: Path) -> tuple[Calibration | None, str]:
    """What is known of the answers of a model (None: nothing was measured), and a note where that is of other weights.

    Args:
        folder: of the model.

    Raises:
        ValueError: the file is there and not sound.
    """
    path = folder / ANSWERS
    if not path.is_file():
        return None, ""
    marks = [(one.stat().st_mtime_ns, one.stat().st_size) for one in (path, folder / WEIGHTS)]
    return _read(path, folder / WEIGHTS, *marks)


@lru_cache(maxsize=8)
def _read(path: Path, weights: Path, *_: tuple[int, int]) -> tuple[Calibration | None, str]:
    """Kept as long as neither file changes: a server asks for it with every question."""
    said = read_json(path)
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise ValueError(f"{path} is no file of this version: delete it, or make it anew.")
    if said.get("weights_sha256") != file_sha256(weights):
        return None, f"{path} was measured with other weights and is passed over: nothing is calibrated or refused."
    return checked_calibration(said, path), ""


def checked_calibration(said: Mapping[str, Any], path: Path) -> Calibration:
    """The facts of a file that nobody has looked at.

    Args:
        said: what the file holds.
        path: of it, for the message.

    Raises:
        ValueError: they are not sound.
    """
    try:
        kinds = {
            QuestionType(kind): {str(subject): _facts(QuestionType(kind), one) for subject, one in subjects.items()}
            for kind, subjects in said["kinds"].items()
        }
        absent = {str(name): _number(value, 0.0, 1.0) for name, value in said["absent"].items()}
        through = int(said["let_through"])
        changes = _changes(said["changes"]) if said.get("changes") is not None else None
        totals = {str(name): _total(one) for name, one in (said.get("totals") or {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is not sound ({' '.join(str(error).split())[:80]}): delete it.") from None
    return Calibration(kinds, absent, min(max(through, 0), 8), changes, totals)


def _facts(kind: QuestionType, one: Mapping[str, Any]) -> KindFacts:
    candidates: Sequence[Any] = one.get("candidates") or answers_of(kind) or ()
    if not candidates or not all(isinstance(name, str) and 0 < len(name) <= 200 for name in candidates):
        raise ValueError("candidates")
    if len(candidates) > 1000:
        raise ValueError("candidates")
    return KindFacts(
        _number(one["temperature"], 0.01, 100.0),
        _number(one["floor"], 0.0, 1.0),
        _number(one["least"], 0.0, 1.0),
        math.inf if one["coarsest_m"] is None else _number(one["coarsest_m"], 0.0, 1e6),
        tuple(candidates),
    )


def _changes(one: Mapping[str, Any]) -> ChangeFacts:
    others = {
        QuestionType(kind): {str(subject): _number(share, 0.0, 1.0) for subject, share in subjects.items()}
        for kind, subjects in one["other_answers"].items()
    }
    high, median, level = (
        _number(one[name], 0.0, most) for name, most in (("high", 2.0), ("median", 2.0), ("level", 1.0))
    )
    return ChangeFacts(high, median, level, _whole(one["places"]), _whole(one["windows"]), others)


def _total(one: Mapping[str, Any]) -> TotalFacts:
    spread, level = _number(one["spread"], 0.0, 1e3), _number(one["level"], 0.0, 1.0)
    return TotalFacts(spread, level, _whole(one["scenes"]), _whole(one["places"]))


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 10**9:
        raise ValueError("a count is none")
    return value


def _number(value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a number is none")
    if not low <= value <= high:
        raise ValueError(f"{value} lies not from {low:g} to {high:g}")
    return float(value)
