"""Puts the prompt of one tile (HCoT) together from the files in `prompts/`: layers, instruction set, scale, its facts.

What is the same for all tiles comes first (the system message), so that a server can keep it cached.
"""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any, Final, Literal

from knowlip.annotators.types import TileRequest
from knowlip.base.vocabulary import AIRCRAFT_TYPES, LANDFORMS, REGIONS, SCALES, SHIP_TYPES, TargetType
from knowlip.language.dimensions import DIMENSIONS, InstructionSet

LAYERS: Final[dict[str, str]] = {
    "earth": "layers/1-earth-cognition.md",
    "social": "layers/2-social-prior.md",
    "sar": "layers/3-sar-theory.md",
    "instance": "layers/4-instance-discrimination.md",
    "calibration": "layers/5-calibration.md",
}
"""The five layers in the order they are reasoned through (paper, section 3.2) -> their files."""

AnswerForm = Literal["json", "text"]
_OUTPUT: Final = {"json": "output.md", "text": "output_text.md"}
_COMPASS = ("north", "north-east", "east", "south-east", "south", "south-west", "west", "north-west")
_TOWARDS = ("top", "top right", "right", "bottom right", "bottom", "bottom left", "left", "top left")


@dataclass(frozen=True)
class Prompt:
    """The two messages of a chat that asks for one tile's texts."""

    system: str
    user: str

    def messages(self, image_url: str | None = None) -> list[dict[str, Any]]:
        """As OpenAI chat messages; `image_url` (a data URL) goes after the user's text."""
        content: list[dict[str, Any]] = [{"type": "text", "text": self.user}]
        if image_url is not None:
            content.append({"type": "image_url", "image_url": {"url": image_url}})
        return [{"role": "system", "content": self.system}, {"role": "user", "content": content}]

    def __str__(self) -> str:
        return f"{self.system}\n\n{self.user}"


def compose_prompt(
    request: TileRequest,
    layers: Sequence[str] = tuple(LAYERS),
    instruction_set: str | None = None,
    *,
    geographic_hint: bool = True,
    parent_text: bool = True,
    guided: bool = True,
    image_side: int | None = None,
    answer: AnswerForm = "json",
) -> Prompt:
    """Compose what is sent for one tile.

    Args:
        request: the tile, its place, and the annotation of its direct parent if it has one.
        layers: names in `LAYERS` to include; always composed in their own order.
        instruction_set: "ground", "marine" or "terrain"; None lets the model choose by what it sees.
        geographic_hint: tell the coordinates and neighbours.
        parent_text: tell the parent's eight sub-texts.
        guided: False gives the baseline: only the question and the form of the answer, nothing that helps.
        image_side: longer side in pixels of the image that is sent, where smaller than the tile's; sizes stay true.
        answer: the form that is asked for, a JSON object or nine lines of text.

    Raises:
        ValueError: an unknown layer, instruction set or scale.
    """
    unknown = [name for name in layers if name not in LAYERS]
    if unknown:
        raise ValueError(f"There is no prompt layer {unknown[0]!r}; use {', '.join(LAYERS)}.")
    if instruction_set is not None and instruction_set not in DIMENSIONS:
        raise ValueError(f"There is no instruction set {instruction_set!r}; use {', '.join(DIMENSIONS)}.")
    if request.scale not in SCALES:
        raise ValueError(f"{request.tile_id} has the scale {request.scale!r}; use {', '.join(SCALES)}.")
    if not guided:
        return Prompt(_unguided(instruction_set, answer), "The image follows.")
    system = [_text("role.md"), *(_fill(path, **_TABLES) for name, path in LAYERS.items() if name in layers)]
    system += [_instructions(instruction_set), _text(_OUTPUT[answer]), _fill("wording.md", **_TABLES)]
    user = [_text(f"scales/{request.scale}.md"), _acquisition(request, image_side)]
    user.append(_place(request) if geographic_hint else "The location of the tile is withheld; do not guess it.")
    if parent_text and request.parent is not None:
        user.append(_parent(request))
    user.append("Describe the tile. The image follows.")
    return Prompt("\n\n".join(system), "\n\n".join(user))


def repair_request(problem: str, answer: AnswerForm = "json") -> str:
    """The message that asks for a corrected answer after one that could not be used."""
    form = {"json": "as one JSON object in the required form", "text": "as nine lines in the required form"}
    return _fill("repair.md", problem=problem, form=form[answer])


@cache
def prompt_hash() -> str:
    """SHA-256 over names and contents of all prompt files and the size tables put into them: the prompts' version."""
    digest = hashlib.sha256()
    for name in _prompt_files():
        digest.update(f"{name}\0{_text(name)}\0".encode())
    for name, table in _TABLES.items():
        digest.update(f"{name}\0{table}\0".encode())
    return digest.hexdigest()


@cache
def file_hashes() -> dict[str, str]:
    """Prompt file -> SHA-256 of its text: what changed between two versions of the prompts."""
    return {name: hashlib.sha256(_text(name).encode()).hexdigest() for name in _prompt_files()}


def _prompt_files() -> list[str]:
    root = files("knowlip.annotators.openai") / "prompts"
    names = [f"{folder.name}/{file.name}" for folder in root.iterdir() if folder.is_dir() for file in folder.iterdir()]
    names += [file.name for file in root.iterdir() if file.is_file()]
    return sorted(name for name in names if name.endswith(".md"))


@cache
def _text(name: str) -> str:
    """A prompt file with every paragraph and list item on one line: where the file's lines wrap carries no meaning."""
    lines: list[str] = []
    joins = False
    for raw in (files("knowlip.annotators.openai") / "prompts" / name).read_text(encoding="utf-8").splitlines():
        line = raw.strip()
        starts = not line or line[0] in "#-$" or re.match(r"\d\. ", line) is not None
        if joins and not starts:
            lines[-1] += " " + line
        else:
            lines.append(line)
        joins = bool(line) and line[0] not in "#$"
    return "\n".join(lines).strip()


def _fill(name: str, **values: str) -> str:
    return Template(_text(name)).substitute(values)


def _sizes(types: Sequence[TargetType]) -> str:
    rows = [f"{t.name} {_range(t.length_m)} m x {_range(t.width_m)} m" for t in types]
    return "  " + "; ".join(rows) + "."


def _range(span: tuple[float, float]) -> str:
    return f"{span[0]:g}-{span[1]:g}"


_TABLES: Final[dict[str, str]] = {
    "ship_types": _sizes(SHIP_TYPES),
    "aircraft_types": _sizes(AIRCRAFT_TYPES),
    "regions": ", ".join(REGIONS),
    "landforms": ", ".join(LANDFORMS),
}


def _instructions(instruction_set: str | None) -> str:
    if instruction_set is not None:
        return f"## The eight fields\n\n{_text(f'instruction_sets/{instruction_set}.md')}"
    parts = [_text("instruction_sets/choose.md"), *(_text(f"instruction_sets/{name}.md") for name in DIMENSIONS)]
    return "## The instruction set and its eight fields\n\n" + "\n\n".join(parts)


def _unguided(instruction_set: str | None, answer: AnswerForm) -> str:
    if instruction_set is not None:
        choice = f"The instruction set is `{instruction_set}`."
        fields = f"Fields: {', '.join(DIMENSIONS[instruction_set])}."
    else:
        choice = "Choose the instruction set that fits: `ground` (aircraft), `marine` (ships) or `terrain`."
        target, terrain = ", ".join(DIMENSIONS[InstructionSet.GROUND]), ", ".join(DIMENSIONS[InstructionSet.TERRAIN])
        fields = f"Fields of `ground` and `marine`: {target}. Fields of `terrain`: {terrain}."
    return _fill("unguided.md", choice=choice, fields=fields, answer=_text(f"unguided_{_OUTPUT[answer]}"))


def _acquisition(request: TileRequest, image_side: int | None) -> str:
    height, width = request.image.shape
    shrink = min(1.0, image_side / max(height, width)) if image_side else 1.0
    metres = request.metres_per_pixel
    if request.look_azimuth_deg is None:
        look = "The look direction of the radar is not known; infer it from shadows and layover."
    else:
        away = round(request.look_azimuth_deg / 45.0) % 8
        look = (
            f"The radar looks towards {_COMPASS[away]} ({request.look_azimuth_deg % 360:.0f} degrees from north): "
            f"shadows point to the {_TOWARDS[away]} of the image, layover to the {_TOWARDS[(away + 4) % 8]}."
        )
    return _fill(
        "acquisition.md",
        sensor=request.sensor or "unknown",
        band=request.band or "unknown",
        window_m=f"{width * metres:.0f}",
        height_m=f"{height * metres:.0f}",
        width=str(max(1, round(width * shrink))),
        height=str(max(1, round(height * shrink))),
        metres_per_pixel=f"{metres / shrink:.3g}",
        look=look,
    )


def _place(request: TileRequest) -> str:
    if math.isnan(request.lon):
        return _fill("no_place.md")
    place, sentences = request.place, []
    where = ", ".join(filter(None, (place.get("region"), place.get("country"))))
    if where:
        sentences.append(f"The nearest town lies in {where}.")
    for key, what in (("city", "Nearest town"), ("airport", "Nearest airport"), ("port", "Nearest sea port")):
        if name := place.get(key):
            distance = place.get(f"{key}_km")
            sentences.append(
                f"{what}: {name}" + (f", {distance:.1f} km away." if isinstance(distance, int | float) else ".")
            )
    neighbours = " ".join(sentences) or "Nothing is known of the neighbourhood."
    return _fill("place.md", lon=f"{request.lon:.4f}", lat=f"{request.lat:.4f}", neighbours=neighbours)


def _parent(request: TileRequest) -> str:
    assert request.parent is not None
    rows = "\n".join(f"- {sub.dimension}: {sub.text}" for sub in request.parent.sub_texts)
    return _fill("parent.md", parent_set=request.parent.instruction_set, parent_text=rows)
