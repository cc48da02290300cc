"""What a general language model is sent of a question.

The wording of the question is the one that `knowlip evaluate` asks. What a model that was taught these questions knows
from its training stands around it: what the image is, how much ground it shows, and which answers there are.
"""

import math
from typing import Final, Literal

from knowlip.base.vocabulary import AIRCRAFT_TYPES, LANDFORMS, REGIONS, SHIP_TYPES
from knowlip.language.questions import MAX_COUNT, Question, QuestionType
from knowlip.language.tile_facts import MIN_SHARE

PromptKind = Literal["choices", "question"]

_IMAGE: Final = "This is a synthetic aperture radar (SAR) image{ground}. Bright pixels scatter strongly."
_NO_IMAGE: Final = (
    "The question is about a synthetic aperture radar (SAR) image{ground}. You are not shown the image: give the "
    "answer that is most probable."
)
_END: Final = "Give the answer alone, without an explanation."
_GRID: Final = f"The image is divided into 3 x 3 regions: {', '.join(REGIONS)}."


def prompt_of(question: Question, ground_m: tuple[float, float], kind: PromptKind, blind: bool) -> str:
    """The text that is sent for a question.

    Args:
        question: one of the six types.
        ground_m: width and height of the image on the ground in metres; NaN where they are not known.
        kind: "question" sends its words alone, "choices" also what the image is and which answers there are.
        blind: no image is sent.
    """
    if kind == "question":
        return question.question
    width_m, height_m = ground_m
    if math.isnan(width_m):
        ground = ""
    elif f"{width_m:.0f}" == f"{height_m:.0f}":
        ground = f" of {width_m:.0f} m by {height_m:.0f} m of ground"
    else:
        ground = f" of {width_m:.0f} m (width) by {height_m:.0f} m (height) of ground"
    image = (_NO_IMAGE if blind else _IMAGE).format(ground=ground)
    return f"{image}\n{question.question}\n{_rule(question)} {_END}"


def _rule(question: Question) -> str:
    """Which answers there are."""
    landforms = f"one of: {', '.join(LANDFORMS)}. Airfield is runways, aprons and the grass between them."
    match question.type:
        case QuestionType.COUNT:
            return f"Answer with a whole number from 0 to {MAX_COUNT}."
        case QuestionType.RECOGNITION:
            return f"Answer with one of: {', '.join(types_of(question.subject))}."
        case QuestionType.POSITION:
            return f"{_GRID} Answer with one of these."
        case QuestionType.MAIN_LANDFORM:
            return f"Answer with {landforms}"
        case QuestionType.ALL_LANDFORMS:
            return f"Answer with each that covers at least {MIN_SHARE:.0%} of the image, separated by commas, of: " + (
                landforms.removeprefix("one of: ")
            )
        case QuestionType.REGIONAL_LANDFORM:
            return f"{_GRID} Answer with the landform that covers most of that region, {landforms}"


def types_of(subject: str) -> tuple[str, ...]:
    """Types that a recognition question may be answered with: of ships, of aircraft, or of both."""
    kinds = {"ship": SHIP_TYPES, "aircraft": AIRCRAFT_TYPES}.get(subject, (*SHIP_TYPES, *AIRCRAFT_TYPES))
    return tuple(one.name for one in kinds)
