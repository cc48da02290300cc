"""`knowlip prompt`: what is shown is what the annotator sends, and every switch changes what it says it changes."""

import json
from pathlib import Path
from typing import Any

import pytest

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.annotators.openai.annotator import OpenAIAnnotator
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.openai.prompt import LAYERS
from knowlip.annotators.openai.show import PromptConfig, show, show_prompt, stored_annotation
from knowlip.annotators.workers import tile_request
from knowlip.base.files import sha256
from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.language.dimensions import DIMENSIONS
from tests.annotators.openai_stub import Stub, answer, completion
from tests.annotators.tiny_dataset import build_tiny_dataset

CHILD, PARENT = "l0-m1-s2", "l0-m1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = build_tiny_dataset(tmp_path_factory.mktemp("show") / "dataset")
    annotate(AnnotateConfig(folder, workers=1))
    return folder


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"guided": False},
        {"parent_text": False},
        {"geographic_hint": False, "instruction_set": "marine"},
        {"layers": ("sar",)},
        {"response_format": "text", "extra": {"seed": None, "top_k": 3}},
    ],
)
def test_shown_is_what_is_sent(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict) -> None:
    shown = show_prompt(PromptConfig(folder, CHILD, model="stub", openai=OpenAIOptions(image_side=64, **changes)))
    monkeypatch.setenv("OPENAI_API_KEY", "word")
    dataset = Dataset(folder)
    row: Any = dataset.tiles().set_index("tile_id", drop=False).loc[CHILD].to_dict()
    request = tile_request(row, dataset.image(CHILD), stored_annotation(dataset, PARENT))
    with Stub(lambda body, number: completion(answer("marine"))) as stub:
        OpenAIAnnotator("stub", OpenAIOptions(image_side=64, **changes), tmp_path, stub.url).annotate(request)
    sent = stub.bodies[0]
    system, user = sent["messages"]
    url = user["content"][1]["image_url"]["url"]
    assert shown["system"] == system["content"]
    assert shown["user"] == user["content"][0]["text"]
    assert shown["response_format"] == sent.get("response_format")
    assert shown["parameters"] == {k: v for k, v in sent.items() if k not in ("messages", "response_format", "stream")}
    assert (shown["image"]["format"], shown["image"]["width"]) == ("jpeg", 64)
    assert url.startswith("data:image/jpeg;base64,")
    assert shown["versions"]["body"] == sha256(json.dumps(sent, sort_keys=True).encode())


def test_no_key_and_no_network_are_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert show_prompt(PromptConfig(folder, CHILD))["tile_id"] == CHILD


def test_switches_one_by_one(folder: Path) -> None:
    whole = show_prompt(PromptConfig(folder, CHILD))
    assert whole["switches"] == {
        "layers": list(LAYERS),
        "instruction_set": "chosen by the model",
        "geographic_hint": True,
        "parent_text": True,
        "guided": True,
    }

    def changed(**changes: Any) -> tuple[dict[str, Any], bool, bool]:
        result = show_prompt(PromptConfig(folder, CHILD, **changes))
        return result, result["system"] != whole["system"], result["user"] != whole["user"]

    for number, name in enumerate(LAYERS, 1):
        result, system, user = changed(layers=[other for other in LAYERS if other != name])
        assert (system, user) == (True, False)
        assert f"Layer {number}." in whole["system"]
        assert f"Layer {number}." not in result["system"]
        assert [f"Layer {n}." in result["system"] for n in range(1, 6)].count(True) == 4
    assert "Layer" not in changed(layers=["none"])[0]["system"]
    for name in DIMENSIONS:
        result, system, user = changed(instruction_set=name)
        assert (system, user) == (True, False)
        assert result["response_format"]["json_schema"]["schema"] != whole["response_format"]["json_schema"]["schema"]
    result, system, user = changed(geographic_hint=False)
    assert (system, user) == (False, True)
    assert "Rotterdam" in whole["user"]
    assert "Rotterdam" not in result["user"]
    result, system, user = changed(parent_text=False)
    assert (system, user) == (False, True)
    told = stored_annotation(Dataset(folder), PARENT)
    assert told is not None
    assert all(sub.text in whole["user"] and sub.text not in result["user"] for sub in told.sub_texts)
    assert result["parent"] == {"tile_id": PARENT, "instruction_set": told.instruction_set, "told": False}
    result, system, user = changed(guided=False)
    assert (system, user) == (True, True)
    assert result["switches"]["layers"] == []
    assert result["switches"]["parent_text"] is False
    hashes = {changed(**change)[0]["versions"]["body"] for change in ({}, {"guided": False}, {"layers": ["sar"]})}
    assert len(hashes) == 3


def test_only_the_direct_parent_is_told(folder: Path) -> None:
    dataset = Dataset(folder)
    large = show_prompt(PromptConfig(folder, "l0"))
    assert large["parent"] == {"tile_id": "", "instruction_set": "", "told": False}
    assert "one scale up" not in large["user"]
    medium = show_prompt(PromptConfig(folder, PARENT))
    assert medium["parent"]["tile_id"] == "l0"
    texts = dataset.texts().groupby("tile_id")["text"].apply(list)
    assert all(text in medium["user"] for text in texts["l0"])
    scales = [show_prompt(PromptConfig(folder, tile))["user"].split()[3] for tile in ("l0", PARENT, CHILD)]
    assert scales == ["large", "medium", "small"]


def test_before_annotation_the_parent_has_no_text(tmp_path: Path) -> None:
    result = show_prompt(PromptConfig(build_tiny_dataset(tmp_path / "dataset"), CHILD))
    assert result["parent"] == {"tile_id": PARENT, "instruction_set": "", "told": False}
    assert "has no texts yet" in show(result)


def test_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["prompt", str(folder), CHILD, "--layers", "sar", "calibration", "--instruction_set", "terrain"]
    command += ["--geographic_hint", "false", "--parent_text", "false", "--openai.image_side", "48"]
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["switches"] == {
        "layers": ["sar", "calibration"],
        "instruction_set": "terrain",
        "geographic_hint": False,
        "parent_text": False,
        "guided": True,
    }
    assert result["image"]["width"] == 48
    assert result["image"]["metres_per_pixel"] == pytest.approx(256 / 48)
    assert set(result["versions"]) == {"prompts", "system", "user", "schema", "body", "files"}
    assert main(command) == 0
    printed = capsys.readouterr().out
    wanted = [
        "=== system message",
        result["system"],
        "=== user message",
        result["user"],
        "its texts are withheld",
        "JPEG, 48 x 48 pixels of 5.33 m",
        '"max_tokens": 1500',
        '"counts"',
        result["versions"]["prompts"],
    ]
    for part in wanted:
        assert part in printed
    assert main(["prompt", str(folder), CHILD, "--guided", "false"]) == 0
    assert "Layer" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no accepted tile 'nowhere'"),
        ([CHILD, "--layers", "magic"], "no prompt layer 'magic'"),
        ([CHILD, "--instruction_set", "sea"], "no instruction set 'sea'"),
        ([CHILD, "--guided", "perhaps"], "guided"),
    ],
)
def test_bad_input_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list, said: str
) -> None:
    assert main(["prompt", str(folder), *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
