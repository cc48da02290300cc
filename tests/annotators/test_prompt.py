"""Prompts: layers in order and switchable, the tile's facts true, the parent's text only when wanted."""

import re
from pathlib import Path

import numpy as np
import pytest

from knowlip.annotators.openai import prompt
from knowlip.annotators.openai.free_form import parse_free_form
from knowlip.annotators.openai.prompt import (
    LAYERS,
    AnswerForm,
    compose_prompt,
    file_hashes,
    prompt_hash,
    repair_request,
)
from knowlip.annotators.types import Annotation, SubText, TileRequest
from knowlip.base.vocabulary import AIRCRAFT_TYPES, REGIONS, SHIP_TYPES
from knowlip.language.dimensions import DIMENSIONS

HEADINGS = {name: f"## Layer {number}." for number, name in enumerate(LAYERS, start=1)}
PARENT = Annotation(
    "parent", "marine", tuple(SubText(name, f"parent says {name}", 0.5, "visual") for name in DIMENSIONS["marine"])
)
PLACE = {
    "country": "Netherlands",
    "region": "South Holland",
    "city": "Rotterdam",
    "city_km": 3.21,
    "airport": "Rotterdam Airport",
    "airport_km": 6.0,
    "port": "Rotterdam",
    "port_km": 1.5,
}


def request(**changes: object) -> TileRequest:
    values: dict = {
        "tile_id": "t",
        "image": np.full((400, 800), 90, np.uint8),
        "metres_per_pixel": 0.64,
        "scale": "small",
        "sensor": "sim-ku",
        "band": "Ku",
        "lon": 4.47917,
        "lat": 51.9225,
        "place": PLACE,
        "look_azimuth_deg": 95.0,
        "parent": PARENT,
    }
    return TileRequest(**{**values, **changes})


def test_five_layers_in_order() -> None:
    system = compose_prompt(request()).system
    positions = [system.index(heading) for heading in HEADINGS.values()]
    assert positions == sorted(positions)
    assert system.index("## Answer") > positions[-1]


@pytest.mark.parametrize("removed", list(LAYERS))
def test_each_layer_can_be_left_out(removed: str) -> None:
    system = compose_prompt(request(), [name for name in LAYERS if name != removed]).system
    assert {name for name, heading in HEADINGS.items() if heading in system} == set(LAYERS) - {removed}


def test_layer_order_does_not_follow_the_caller() -> None:
    assert compose_prompt(request(), ("calibration", "earth")) == compose_prompt(request(), ("earth", "calibration"))


@pytest.mark.parametrize("name", list(DIMENSIONS))
def test_instruction_set_names_its_eight_fields_in_order(name: str) -> None:
    system = compose_prompt(request(), instruction_set=name).system
    found = re.findall(r"^(\d)\. (\w+):", system, re.MULTILINE)
    assert tuple(field for _, field in found) == DIMENSIONS[name]
    assert [int(number) for number, _ in found] == list(range(1, 9))
    assert "Choose the instruction set" not in system


def test_the_model_chooses_among_three_sets() -> None:
    system = compose_prompt(request()).system
    assert "Choose the instruction set" in system
    assert all(f"### {name}:" in system for name in DIMENSIONS)


def test_vocabulary_is_told() -> None:
    system = compose_prompt(request()).system
    assert all(word in system for word in (*REGIONS, *(t.name for t in SHIP_TYPES + AIRCRAFT_TYPES)))


def test_facts_of_the_tile() -> None:
    user = compose_prompt(request()).user
    assert "512 m x 256 m on the ground" in user
    assert "800 x 400 pixels of 0.64 m each" in user
    assert "Ku band" in user
    assert "[4.4792, 51.9225]" in user
    assert "Rotterdam Airport, 6.0 km away" in user
    assert "shadows point to the right of the image, layover to the left" in user
    assert "small tile" in user


def test_metres_per_pixel_follow_the_image_that_is_sent() -> None:
    assert "200 x 100 pixels of 2.56 m each" in compose_prompt(request(), image_side=200).user
    assert "800 x 400 pixels of 0.64 m each" in compose_prompt(request(), image_side=2000).user


@pytest.mark.parametrize(
    ("azimuth", "where"), [(0, "top"), (181, "bottom"), (270, "left"), (225, "bottom left"), (359, "top")]
)
def test_shadow_direction(azimuth: float, where: str) -> None:
    assert f"shadows point to the {where} of the image" in compose_prompt(request(look_azimuth_deg=azimuth)).user


def test_unknown_look_direction_and_place() -> None:
    user = compose_prompt(request(look_azimuth_deg=None, place={})).user
    assert "not known" in user
    assert "Nothing is known of the neighbourhood" in user
    assert "shadows point" not in user


def test_hint_and_parent_can_be_withheld() -> None:
    user = compose_prompt(request(), geographic_hint=False).user
    assert not any(word in user for word in ("Rotterdam", "Netherlands", "4.47", "51.9"))
    assert "parent says Count" in compose_prompt(request()).user
    assert "parent says" not in compose_prompt(request(), parent_text=False).user
    assert "parent says" not in compose_prompt(request(parent=None)).user


def test_unguided_baseline_tells_nothing() -> None:
    text = str(compose_prompt(request(), guided=False))
    assert not any(word in text for word in ("Layer", "Rotterdam", "parent says", "layover", "0.64"))
    assert all(name in text for name in DIMENSIONS["ground"] + DIMENSIONS["terrain"])


def test_nothing_is_left_to_fill_in_and_tiles_share_the_system_message() -> None:
    for scale in ("large", "medium", "small"):
        assert "$" not in str(compose_prompt(request(scale=scale)))
    assert compose_prompt(request(scale="large", parent=None)).system == compose_prompt(request()).system
    assert "no JSON" in repair_request("no JSON")


def test_messages_carry_the_image_after_the_text() -> None:
    messages = compose_prompt(request()).messages("data:image/jpeg;base64,AAAA")
    assert [message["role"] for message in messages] == ["system", "user"]
    assert [part["type"] for part in messages[1]["content"]] == ["text", "image_url"]


CONTENT = {
    "earth": ("coordinates", "airport", "runways", "terminals", "industrial zone", "halls", "climate", "coast"),
    "social": (
        "Economy",
        "history",
        "Building practice",
        "Transport",
        "function",
        "Airport:",
        "Port:",
        "City:",
        "Farmland:",
    ),
    "sar": (
        "Surface scattering",
        "Double bounce",
        "discrete bright points",
        "[Ss]peckle",
        "[Ss]ide lobes",
        "Layover",
        "upside down",
        "[Ss]hadow",
        "runways",
        "are dark",
        "grass is uniform",
        "Metal scatters strongly",
        "Rectangular bright outlines",
        "cross, a T or a Y",
    ),
    "instance": (
        "metres per pixel",
        "size",
        "shape|proportion|length over beam",
        "Boeing 737",
        "Airbus A350",
        "wingspan",
        "height from shadow",
        "Count what is separate",
        "[Tt]ypical sizes",
    ),
    "calibration": (
        "against image",
        "Geography and social priors",
        "measured size decides",
        "Drop a statement",
        "contradicts SAR physics",
        "must agree with each other",
    ),
}
"""What the paper's five layers bring (section 3.2 and the figure of its prompt), as patterns."""


@pytest.mark.parametrize("layer", list(LAYERS))
def test_layers_bring_what_the_paper_says(layer: str) -> None:
    system = prompt._fill(LAYERS[layer], **prompt._TABLES)
    assert system in compose_prompt(request(), (layer,)).system
    absent = [pattern for pattern in CONTENT[layer] if not re.search(pattern, system)]
    assert not absent


@pytest.mark.parametrize(
    ("scale", "says"), [("large", "context"), ("medium", "structure"), ("small", "Count, measure and name")]
)
def test_three_scales(scale: str, says: str) -> None:
    user = compose_prompt(request(scale=scale)).user
    assert f"This is the {scale} tile of a chain of three scales" in user
    assert says in user


def test_answer_with_counts_and_boxes_is_asked_for() -> None:
    for guided in (True, False):
        system = compose_prompt(request(), guided=guided).system
        for word in (
            "instruction_set",
            "sub_texts",
            "counts",
            "boxes",
            "category",
            "number",
            "width",
            "height",
            "fractions",
        ):
            assert word in system


def test_sentences_of_five_layers_are_asked_for() -> None:
    system = compose_prompt(request()).system
    for words in ("`sentences`", "`layer`", "1 where on Earth", "5 how the layers", "80 to 120 words", "geo", "prior"):
        assert words in system
    assert "layers 1 and 2" in compose_prompt(request(scale="large")).user
    assert "layer 4" in compose_prompt(request(scale="small")).user
    assert "do not repeat it" in compose_prompt(request()).user
    assert "`layer`" not in compose_prompt(request(), guided=False).system


@pytest.mark.parametrize("name", list(DIMENSIONS))
def test_the_unguided_baseline_follows_the_instruction_set(name: str) -> None:
    system = compose_prompt(request(), instruction_set=name, guided=False).system
    assert f"The instruction set is `{name}`" in system
    assert ", ".join(DIMENSIONS[name]) in system
    assert "Choose" not in system
    assert ("Buildings" in system) == (name == "terrain")


FORMS: tuple[AnswerForm, ...] = ("json", "text")


@pytest.mark.parametrize("guided", [True, False])
def test_free_text_is_asked_for_in_the_form_that_is_read(guided: bool) -> None:
    system = compose_prompt(request(), guided=guided, answer="text").system
    for word in ("sub_texts", "JSON object", "`counts`", "boxes"):
        assert word not in system
    for word in ("nine lines", "Instruction set:", "no JSON"):
        assert word in system
    assert "JSON" not in repair_request("Size is missing.", "text")
    # The examples that the prompt gives are read as they are meant.
    lines = re.findall(r"`(\w+): ([^`()]*) \(([\d.]+), (\w+)\)`", system)
    assert lines
    for name, statement, confidence, evidence in lines:
        read = parse_free_form(f"{name}: {statement} ({confidence}, {evidence})", "marine")
        assert read.texts == {name: statement}
        assert read.confidences == {name: float(confidence)}
        assert read.evidence == {name: evidence}


def test_the_form_changes_nothing_else() -> None:
    json, text = (compose_prompt(request(), answer=form) for form in FORMS)
    assert json.user == text.user
    cut = [form.system.split("## Answer")[0] for form in (json, text)]
    assert cut[0] == cut[1]
    assert json.system.split("\n\n")[-1] == text.system.split("\n\n")[-1]  # the words to use


def test_every_prompt_file_is_used() -> None:
    texts = [
        str(compose_prompt(request(scale=scale, lon=lon), instruction_set=name, guided=guided, answer=form))
        for scale in ("large", "medium", "small")
        for lon in (4.0, float("nan"))
        for name in (None, *DIMENSIONS)
        for guided in (True, False)
        for form in FORMS
    ]
    sent = "\n".join([*texts, *(repair_request("no JSON", form) for form in FORMS)])
    for name in file_hashes():
        first = next(part for part in re.split(r"\$\w+|\n", prompt._text(name)) if len(part.split()) > 2)
        assert first.strip() in sent, name


def test_hash_is_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", prompt_hash())
    assert len(file_hashes()) == len(list(Path(prompt.__file__).parent.glob("prompts/**/*.md"))) >= 19
    monkeypatch.setitem(prompt._TABLES, "ship_types", "canoe 3-5 m x 1-1 m")
    assert prompt_hash.__wrapped__() != prompt_hash()  # the size tables are part of what is sent


def test_wrong_names_are_refused() -> None:
    with pytest.raises(ValueError, match="no prompt layer 'magic'"):
        compose_prompt(request(), ("magic",))
    with pytest.raises(ValueError, match="no instruction set 'sea'"):
        compose_prompt(request(), instruction_set="sea")
    with pytest.raises(ValueError, match="scale 'huge'"):
        compose_prompt(request(scale="huge"))
