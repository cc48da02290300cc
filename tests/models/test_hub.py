"""Publishing and fetching against a hub of one process; the model card against the hub's own reader."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, constants

import knowlip
from knowlip.base.files import file_sha256
from knowlip.base.rows import Results, Row
from knowlip.cli import main
from knowlip.models import KnowLIP, transformers_files
from knowlip.models.folder import model_readme, rows_of_model
from knowlip.models.hub import find_model
from knowlip.models.publish import push_to_hub
from tests.inference.tiny_model import tiny_model
from tests.models.hub_server import Hub, hub_server

CARD = {
    "command": "knowlip pretrain --dataset /home/someone/secret",
    "dataset_fingerprint": "0123456789abcdef" * 4,
    "revision": 2,
    "tiles": 2512,
    "metres_per_pixel": [6.67, 26.7],
    "windows_m": [2560.0, 640.0],
    "sensors": ["sentinel-1"],
    "quantiser": ["db-percentile-v1(0.5,99.8)"],
}


def results_of(weights: str) -> Results:
    """Of two models: one that was fine-tuned on questions, and another."""
    row = Row("demo", "test", "retrieve", "run", "text to image R@1", 0.25, (0.1, 0.4), 9, 0.05, "chance")
    rows = (
        row,
        replace(row, metric="R@5 | <b>", value=0.5, ci=None),
        replace(row, task="caption", metric="BLEU-4", value=0.125, unit="number", floor=None, floor_name=""),
        replace(row, task="caption", metric="CIDEr", value=None, note="turned off"),
        replace(row, task="vqa", encoder="answers", metric="count accuracy", value=0.75),
        replace(row, task="vqa", encoder="annotator:x", metric="count accuracy", value=0.9),
    )
    return Results(rows, setup={"encoders": {"run": weights, "answers": "0" * 64}})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub, known to the library as if $HF_ENDPOINT and $HF_HOME had named it, and a user with a token."""
    with hub_server() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "secret")
        server.token = "secret"
        yield server


def test_a_published_model_is_used_by_its_name(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, metrics = tiny_model(tmp_path / "model", card=CARD), tmp_path / "metrics.json"
    results_of(file_sha256(folder / "model.safetensors")).write(metrics)
    line = ["publish-model", str(folder), "lab/sar", "--private", "--license", "apache-2.0", "--metrics", str(metrics)]
    assert main([*line, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["commit"].startswith(f"{hub.address}/lab/sar/commit/")
    files = hub.repos["lab/sar"]
    assert hub.private == {"lab/sar": True}
    assert {*files} == {"README.md", "knowlip.json", "model.safetensors", *transformers_files.FILES}
    assert files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert b"someone" not in b"".join(files.values())
    shown = ModelCard(files["README.md"].decode())
    assert shown.data.license == "apache-2.0"
    measured = {result.metric_name: result.metric_value for result in shown.data.eval_results}
    assert measured == {
        "retrieve: text to image R@1": 0.25,
        "retrieve: R@5 | <b>": 0.5,
        "caption: BLEU-4": 0.125,
    }
    assert "| retrieve | text to image R@1 | 25.0 % ▲ | 10.0–40.0 | 5.0 % chance | 9 |" in shown.text
    assert "R@5 / &lt;b&gt;" in shown.text
    local, fetched = knowlip.load(folder), knowlip.load("lab/sar")
    assert torch.equal(fetched.encode_texts(["ships"]), local.encode_texts(["ships"]))
    assert fetched.card["dataset_fingerprint"] == CARD["dataset_fingerprint"]
    for name in ("lab/none", "lab/sar@no-such-revision"):
        with pytest.raises(ValueError, match=f"There is no folder {name}, and the hub gave no such model"):
            knowlip.load(name)
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert main(line) == 2
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "401" in told
    assert "hf auth login" in told


def test_what_is_published_opens_in_transformers(hub: Hub, tmp_path: Path) -> None:
    from knowlip.models.transformers import KnowLIPModel, KnowLIPProcessor

    push_to_hub(tiny_model(tmp_path / "model"), "lab/sar")
    (tmp_path / "snapshot").mkdir()
    for name, content in hub.repos["lab/sar"].items():
        (tmp_path / "snapshot" / name).write_bytes(content)
    model = KnowLIPModel.from_pretrained(tmp_path / "snapshot")
    processor = KnowLIPProcessor.from_pretrained(tmp_path / "snapshot")
    found = model.get_text_features(**processor(text=["three ships"])).detach()
    torch.testing.assert_close(found, knowlip.load(tmp_path / "model").embed_texts(["three ships"]))


def test_without_a_network_the_cache_serves(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push_to_hub(tiny_model(tmp_path / "model"), "lab/sar")
    find_model("lab/sar")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/{revision}/{filename}")
    assert (find_model("lab/sar") / "model.safetensors").is_file()
    with pytest.raises(ValueError, match=r"127\.0\.0\.1:9 cannot be reached"):
        find_model("lab/other")
    with pytest.raises(ValueError, match="cannot be reached"):
        push_to_hub(tmp_path / "model", "lab/sar")


def test_only_sound_models_under_sound_names_are_published(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "model")
    for repo in ("sar", "lab/sar/x", "lab/sar@v1", "-lab/sar"):
        with pytest.raises(ValueError, match="USER/REPO"):
            push_to_hub(folder, repo)
    with pytest.raises(ValueError, match="not a folder"):
        push_to_hub(Path("lab/other"), "lab/sar")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:500])
    with pytest.raises(ValueError, match="cannot be read"):
        push_to_hub(folder, "lab/sar")


def test_a_folder_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lab" / "sar").mkdir(parents=True)
    assert find_model("lab/sar") == Path("lab/sar")
    for name in ("none", "a/b/c", "../x", "/x/y"):
        with pytest.raises(ValueError, match="no such folder"):
            find_model(name)


def test_the_model_card_says_what_is_known_and_nothing_else() -> None:
    config = {
        "vision": {"name": "vit_base_patch16_224", "image_size": 224},
        "text": {"layers": 12, "width": 768, "vocab_size": 30524},
    }
    text = model_readme(config, CARD, 223_000_000)
    shown = ModelCard(text)
    assert shown.data.library_name == "knowlip"
    assert "sar" in shown.data.tags
    assert shown.data.license is None
    assert shown.data.eval_results is None
    for fact in ("223.0 million", "2512 tiles", "6.67 to 26.7", "2560, 640 m", "sentinel-1", "`0123456789abcdef`"):
        assert fact in text
    assert "Measured" not in text
    assert "someone" not in text
    bare = model_readme(config, {}, 1_000_000)
    assert "Trained on" not in bare
    assert "Sensors" not in bare


def test_each_of_two_models_gets_its_own_results() -> None:
    results = results_of("1" * 64)
    assert {row.metric for row in rows_of_model(results, "0" * 64)} == {"count accuracy"}
    assert {row.task for row in rows_of_model(results, "1" * 64)} == {"retrieve", "caption"}
    with pytest.raises(ValueError, match="of answers, run, not of these weights"):
        rows_of_model(results, "2" * 64)


def test_a_model_saves_and_publishes_itself(hub: Hub, tmp_path: Path) -> None:
    model = KnowLIP.from_pretrained(tiny_model(tmp_path / "model", card=CARD))
    assert model.push_to_hub("lab/self", private=True, license="mit").startswith(f"{hub.address}/lab/self/commit/")
    assert hub.private == {"lab/self": True}
    again = KnowLIP.from_pretrained("lab/self")
    assert again.card == {name: value for name, value in CARD.items() if name != "command"} | {"license": "mit"}
    torch.testing.assert_close(again.embed_texts(["ships"]), model.embed_texts(["ships"]))
    assert again.save_pretrained(tmp_path / "copy") == tmp_path / "copy"
    assert KnowLIP.from_pretrained(tmp_path / "copy").folder == tmp_path / "copy"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"holds something else \(thesis\.tex\)"):
        model.save_pretrained(tmp_path / "other")


def test_similarity_needs_no_care_for_gradients(tmp_path: Path) -> None:
    model = KnowLIP.from_pretrained(tiny_model(tmp_path / "model"))
    tiles = [np.full((20, 30), 90, np.uint8), np.full((40, 40), 9, np.uint8)]
    images, texts = model.embed_images(tiles, [3.0, float("nan")]), model.embed_texts(["ships", "fields"])
    assert not (images @ texts.T).requires_grad
    torch.testing.assert_close((images**2).sum(1), torch.ones(2))
    learning = model.encode_images(model.prepare(tiles))[1] @ model.encode_texts(["ships"]).T
    learning.sum().backward()  # texts stay as they are, images learn
    for call in (lambda: model.embed_images([]), lambda: model.embed_images(tiles, [1.0])):
        with pytest.raises(ValueError, match="image"):
            call()
    with pytest.raises(ValueError, match="list of texts"):
        model.embed_texts("ships")
