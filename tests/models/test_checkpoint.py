import json
from pathlib import Path

import pytest
import torch

from knowlip.models import KnowLIP, load_model, save_model


def test_round_trip_is_exact_and_self_contained(model: KnowLIP, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m", {"quantiser": "db-percentile"})
    again = load_model(tmp_path / "m")
    assert again.card == {"quantiser": "db-percentile"}
    assert torch.equal(again.encode_texts(["three ships"]), model.encode_texts(["three ships"]))
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["knowlip.json", "model.safetensors"]
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
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(ValueError, match="cannot be read"):
        load_model(folder)


def test_a_failed_save_leaves_the_old_model(model: KnowLIP, tmp_path: Path) -> None:
    save_model(model, tmp_path / "m", {"n": 1})
    with pytest.raises(TypeError):
        save_model(model, tmp_path / "m", {"n": object()})
    assert load_model(tmp_path / "m").card == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
