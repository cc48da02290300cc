import json
from pathlib import Path

import pytest
import torch

from knowlip.models import KnowLIP, load_model, save_model


def test_round_trip_is_exact_and_self_contained(model: KnowLIP, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m", {"quantiser": ["db-percentile"]})
    again = load_model(tmp_path / "m")
    assert again.card == {"quantiser": ["db-percentile"]}
    assert torch.equal(again.encode_texts(["three ships"]), model.encode_texts(["three ships"]))
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == [
        "README.md",
        "knowlip.json",
        "model.safetensors",
    ]
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_every_mismatch_is_refused(model: KnowLIP, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a KnowLIP model"):
        load_model(tmp_path)
    folder = tmp_path / "m"
    save_model(model, folder, {})
    card = json.loads((folder / "knowlip.json").read_text())

    def changed(**model_changes: object) -> None:
        (folder / "knowlip.json").write_text(json.dumps({**card, "model": {**card["model"], **model_changes}}))

    changed(embed_dim=17)
    with pytest.raises(ValueError, match="shape"):
        load_model(folder)
    changed(text={**card["model"]["text"], "layers": 3})
    with pytest.raises(ValueError, match="lacks"):
        load_model(folder)
    changed(text={**card["model"]["text"], "layers": 1})
    with pytest.raises(ValueError, match="unknown"):
        load_model(folder)
    (folder / "knowlip.json").write_text(json.dumps({**card, "format": 99}))
    with pytest.raises(ValueError, match="format 99"):
        load_model(folder)
    (folder / "knowlip.json").write_text(json.dumps(card))
    changed(text={**card["model"]["text"], "vocab_size": 999})
    with pytest.raises(ValueError, match=r"knowlip\.json: The tokenizer has .* entries but the model is set to 999"):
        load_model(folder)
    changed(text={**card["model"]["text"], "colour": 1})
    with pytest.raises(ValueError, match="colour"):
        load_model(folder)
    (folder / "knowlip.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="cannot be put on nowhere"):
        load_model(folder, "nowhere")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        load_model(folder)


def test_a_failed_save_leaves_the_old_model(model: KnowLIP, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m", {"n": 1})
    with pytest.raises(TypeError):
        save_model(model, tmp_path / "m", {"n": object()})
    assert load_model(tmp_path / "m").card == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_weights_of_another_origin_are_saved_under_the_model_s_names(model: KnowLIP, tmp_path: Path) -> None:
    state = {name: weight + 1 for name, weight in model.state_dict().items()}
    save_model(model, tmp_path / "m", {}, state)
    again = load_model(tmp_path / "m").state_dict()
    for name, weight in state.items():
        torch.testing.assert_close(again[name], weight)


def test_a_model_of_before_the_image_tower_s_weights_had_a_setting_is_read(model: KnowLIP, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m", {})
    saved = json.loads((tmp_path / "m" / "knowlip.json").read_text())
    saved["model"]["vision"]["pretrained"] = False
    for new in ("tie_decoder", "decoder_reads"):
        del saved["model"]["text"][new]
    (tmp_path / "m" / "knowlip.json").write_text(json.dumps(saved))
    assert torch.equal(load_model(tmp_path / "m").encode_texts(["ships"]), model.encode_texts(["ships"]))
