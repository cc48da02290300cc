"""The form of a language model's answer: JSON with an instruction set and its eight fields, checked first."""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator

from knowlip.text.types import Annotation, SubText
from knowlip.vocabulary import DIMENSIONS

MAX_CHARACTERS = 400
"""Longest sub-text that is accepted; the paper's are 9 to 23 tokens on average."""


class SubTextAnswer(BaseModel):
    """One field of the answer."""

    model_config = ConfigDict(extra="forbid")
    text: str
    confidence: float
    evidence: Literal["visual", "geo", "prior", "parent"]

    @field_validator("text")
    @classmethod
    def _text(cls, value: str) -> str:
        value = " ".join(value.split()).rstrip(". ")
        if not value:
            raise ValueError("the text is empty")
        if len(value) > MAX_CHARACTERS:
            raise ValueError(f"the text has {len(value)} characters, at most {MAX_CHARACTERS} are allowed")
        return value

    @field_validator("confidence")
    @classmethod
    def _confidence(cls, value: float) -> float:
        if not 0.0 <= value <= 1.0:  # also refuses NaN
            raise ValueError("the confidence must lie between 0 and 1")
        return value


def _fields_of(name: str, dimensions: tuple[str, ...]) -> type[BaseModel]:
    fields: dict[str, Any] = {dimension: (SubTextAnswer, Field()) for dimension in dimensions}
    return create_model(name, __config__=ConfigDict(extra="forbid"), **fields)


TargetTexts = _fields_of("TargetTexts", DIMENSIONS["ground"])
TerrainTexts = _fields_of("TerrainTexts", DIMENSIONS["terrain"])


def answer_schema(instruction_set: str | None = None) -> dict[str, Any]:
    """JSON schema of an answer in the strict dialect of OpenAI's structured outputs (all required, nothing extra).

    Args:
        instruction_set: the set that was asked for; None allows all three.
    """
    return _answer_model(instruction_set).model_json_schema()


def _answer_model(instruction_set: str | None) -> type[BaseModel]:
    texts: Any = TargetTexts | TerrainTexts
    if instruction_set is not None:
        texts = TerrainTexts if instruction_set == "terrain" else TargetTexts
    names: Any = Literal["ground", "marine", "terrain"] if instruction_set is None else Literal[instruction_set]
    return create_model(
        "Answer", __config__=ConfigDict(extra="forbid"), instruction_set=(names, Field()), sub_texts=(texts, Field())
    )


def parse_answer(content: str, tile_id: str, instruction_set: str | None = None, has_parent: bool = True) -> Annotation:
    """Turn the text of an answer into an annotation.

    Args:
        content: the model's message; a Markdown fence around the JSON is tolerated.
        tile_id: the tile that was asked about.
        instruction_set: the set that was asked for; None where the model was to choose.
        has_parent: whether a parent's text was sent; without one nothing can rest on it.

    Raises:
        ValueError: in words that the model can act on: not JSON, a missing field, a wrong value, another set.
    """
    body = content.strip()
    if body.startswith("```"):
        body = body.strip("`").strip().removeprefix("json").strip()
    # The set is read first, so that a problem is reported against the form that was meant.
    named = re.search(r'"instruction_set"\s*:\s*"(\w+)"', body)
    wanted = instruction_set or (named[1] if named and named[1] in DIMENSIONS else None)
    try:
        answer: Any = _answer_model(wanted).model_validate_json(body)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc'])) or 'answer'}: {e['msg']}" for e in error.errors()[:4]]
        raise ValueError("; ".join(problems) + ".") from None
    chosen = str(answer.instruction_set)
    sub_texts = []
    for dimension in DIMENSIONS[chosen]:
        field: SubTextAnswer | None = getattr(answer.sub_texts, dimension, None)
        if field is None:
            raise ValueError(f"sub_texts.{dimension}: the set {chosen} needs this field.")
        if field.evidence == "parent" and not has_parent:
            raise ValueError(
                f"sub_texts.{dimension}.evidence: no larger tile's text was given, so it cannot be `parent`."
            )
        sub_texts.append(SubText(dimension, field.text, field.confidence, field.evidence))
    return Annotation(tile_id, chosen, tuple(sub_texts))
