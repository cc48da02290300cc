"""`knowlip prompt DATASET TILE`: what would be sent to a language model for one tile, to the letter."""

import base64
import io
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.openai.prompt import LAYERS, file_hashes, prompt_hash
from knowlip.annotators.types import Annotation, SubText
from knowlip.annotators.workers import tile_request
from knowlip.base.files import sha256
from knowlip.dataset import Dataset
from knowlip.language.dimensions import DIMENSIONS, InstructionSet


@dataclass(frozen=True)
class PromptConfig:
    """Which tile, and how it would be asked about. What is not given is as the `openai` annotator has it."""

    POSITIONAL: ClassVar = ("dataset", "tile")

    dataset: Path
    """Folder of the data set."""
    tile: str
    """Name of an accepted tile."""
    layers: list[str] = field(default_factory=list)
    """Prompt layers to send (earth, social, sar, instance, calibration); "none" sends none; all where not given."""
    instruction_set: str | None = None
    """"ground", "marine" or "terrain"; the model chooses where not given."""
    geographic_hint: bool | None = None
    """Whether coordinates and neighbours are told."""
    parent_text: bool | None = None
    """Whether the eight sub-texts of the direct parent are told, where the data set has some."""
    guided: bool | None = None
    """False: the unguided baseline."""
    model: str = "MODEL"
    """Name of the model, as the request would carry it."""
    openai: OpenAIOptions = field(default_factory=OpenAIOptions)
    """All settings of the `openai` annotator; those above go before them."""

    def options(self) -> OpenAIOptions:
        """The settings of the annotator that come of all this.

        Raises:
            ValueError: an unknown layer or instruction set.
        """
        names = ("instruction_set", "geographic_hint", "parent_text", "guided")
        given: dict[str, Any] = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.layers:
            words = [word for entry in self.layers for word in entry.replace(",", " ").split()]
            given["layers"] = () if words == ["none"] else tuple(words)
        return replace(self.openai, **given)


def show_prompt(config: PromptConfig) -> dict[str, Any]:
    """Compose the request for one tile as the `openai` annotator would; nothing is sent and no key is needed.

    Returns:
        `tile_id`, `scale`, `system`, `user` (the messages), `image` (format, width, height, bytes, metres_per_pixel,
        sha256), `parent` (tile_id, instruction_set, and `told`: whether its text is in the message), `parameters`,
        `response_format` (None for free text), `switches`, and `versions` (SHA-256 of prompts, system message, user
        message, schema, of the whole body, and of every prompt file).

    Raises:
        ValueError: no data set, no such accepted tile there, or unknown settings.
    """
    from knowlip.annotators.openai.annotator import image_url  # the client library takes a second to import

    options = config.options()
    dataset = Dataset(config.dataset)
    tiles = dataset.tiles()
    rows = tiles[tiles["tile_id"] == config.tile]
    if rows.empty:
        raise ValueError(f"{config.dataset} has no accepted tile {config.tile!r}.")
    row = {str(key): value for key, value in rows.iloc[0].to_dict().items()}
    parent = stored_annotation(dataset, row["parent_id"]) if row["parent_id"] else None
    request = tile_request(row, dataset.image(config.tile), parent)
    prompt = options.prompt(request)
    url = image_url(request.image, options.image_side, options.image_format)
    body = {**options.parameters(config.model), "messages": prompt.messages(url)}
    parameters = {name: value for name, value in body.items() if name not in ("messages", "response_format")}
    form = body.get("response_format")
    told = parent is not None and options.parent_text and options.guided
    return {
        "tile_id": config.tile,
        "scale": request.scale,
        "system": prompt.system,
        "user": prompt.user,
        "image": _image(url, request.metres_per_pixel * request.image.shape[1]),
        "parent": {
            "tile_id": row["parent_id"],
            "instruction_set": parent.instruction_set if parent else "",
            "told": told,
        },
        "parameters": parameters,
        "response_format": form,
        "switches": {
            "layers": [name for name in LAYERS if name in options.layers] if options.guided else [],
            "instruction_set": options.instruction_set or "chosen by the model",
            "geographic_hint": options.geographic_hint and options.guided,
            "parent_text": told,
            "guided": options.guided,
        },
        "versions": {
            "prompts": prompt_hash(),
            "system": sha256(prompt.system.encode()),
            "user": sha256(prompt.user.encode()),
            "schema": sha256(json.dumps(form, sort_keys=True).encode()),
            "body": sha256(json.dumps(body, sort_keys=True).encode()),
            "files": file_hashes(),
        },
    }


def stored_annotation(dataset: Dataset, tile_id: str) -> Annotation | None:
    """The newest eight sub-texts of a tile in the data set's texts; None where it has none."""
    texts = dataset.texts()
    rows = texts[texts["tile_id"] == tile_id].sort_values("slot")
    if rows.empty:
        return None
    chosen = str(rows["instruction_set"].iloc[0])
    if tuple(rows["dimension"]) != DIMENSIONS.get(chosen):
        raise ValueError(f"The texts of {tile_id} in {dataset.path} are not the eight of a set.")
    columns = (rows[name] for name in ("dimension", "text", "confidence", "evidence", "marks"))
    return Annotation(tile_id, InstructionSet(chosen), tuple(SubText(*fields) for fields in zip(*columns)))


def _image(url: str, ground_m: float) -> dict[str, Any]:
    """What is known of the picture in a data URL that covers so many metres from left to right."""
    from PIL import Image

    data = base64.b64decode(url.split(",", 1)[1])
    with Image.open(io.BytesIO(data)) as picture:
        width, height = picture.size
    return {
        "format": url.split(";", 1)[0].removeprefix("data:image/"),
        "width": width,
        "height": height,
        "bytes": len(data),
        "metres_per_pixel": ground_m / width,
        "sha256": sha256(data),
    }


def show(result: dict[str, Any]) -> str:
    """The request for people."""
    image, parent, versions = result["image"], result["parent"], result["versions"]
    picture = f"{image['format'].upper()}, {image['width']} x {image['height']} pixels of "
    picture += f"{image['metres_per_pixel']:.3g} m, {image['bytes']} bytes, sha256 {image['sha256'][:12]}"
    if not parent["tile_id"]:
        above = "none, this is a large tile"
    elif not parent["instruction_set"]:
        above = f"{parent['tile_id']}, which has no texts yet"
    else:
        above = f"{parent['tile_id']} ({'its texts are told' if parent['told'] else 'its texts are withheld'})"
    switches = ", ".join(
        f"{name} {' '.join(value) or 'none' if isinstance(value, list) else value}"
        for name, value in result["switches"].items()
    )
    parts = [
        (f"{result['tile_id']} ({result['scale']})", f"parent: {above}\nswitches: {switches}"),
        ("system message", result["system"]),
        ("user message", result["user"]),
        ("image, after the user's text", picture),
        ("parameters", json.dumps(result["parameters"], indent=1)),
        ("form of the answer", json.dumps(result["response_format"]) if result["response_format"] else "free text"),
        ("versions (sha256)", "\n".join(f"{key} {value}" for key, value in versions.items() if key != "files")),
    ]
    return "\n\n".join(f"=== {title}\n{text}" for title, text in parts)
