"""Evidence on unseen tiles: a decoder that knows the truth of the image it is given finds every error, and none on
other images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from knowlip.dataset import Dataset
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.truth import judge
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.models.encoders.knowlip import KnowLIPEncoder
from knowlip.scio.evidence import Scorer
from knowlip.scio.filled import FilledHole
from knowlip.tasks.bench import Bench
from knowlip.tasks.evidence import unseen_evidence
from knowlip.tasks.screening import UNSEEN, measure
from tests.benchmark.numbered import COUNT, VAL, build


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build(tmp_path_factory.mktemp("data") / "ds", revisions=False)


@pytest.fixture(scope="module")
def model(data: Dataset) -> KnowLIP:
    torch.manual_seed(0)
    texts = data.texts(0)
    tokenizer = TextTokenizer.train((texts["dimension"] + ": " + texts["text"]).to_list() * 2, 400)
    vision = VisionConfig("vit_tiny_patch16_224", 12, {"patch_size": 6, "embed_dim": 16, "depth": 1, "num_heads": 2})
    text = TextConfig(len(tokenizer), width=16, layers=1, heads=2, mlp_width=16, max_length=192, dropout=0.0)
    return KnowLIP(ModelConfig(vision, text, embed_dim=8), tokenizer).eval()


def test_a_decoder_that_knows_the_truth(data: Dataset, model: KnowLIP, monkeypatch: pytest.MonkeyPatch) -> None:
    truths, rng = data.truth(), np.random.default_rng(0)

    def look(self: Scorer, rows: Sequence[int], change: Any = None) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Tokens that hold the number of the tile, as its first pixels spell it."""
        number = self.pixels[list(rows)][:, 0, 1].astype(np.float32)
        return torch.from_numpy(number)[:, None, None], torch.zeros(len(rows), model.config.embed_dim), None

    def infill(self: Scorer, memory: Any, asked: Sequence[FilledHole]) -> np.ndarray:
        """Wrong words cost five nats, right ones one, with noise."""
        found = np.empty((len(asked), 3))
        for at, one in enumerate(asked):
            words = model.tokenizer.text(one.content)
            tile = truths[f"t{int(memory[0][0][one.owner, 0, 0])}"]
            true = judge("marine", DIMENSIONS["marine"][one.slot], words, tile, 1000.0)
            found[at] = (5.0 if true is False else 1.0) + rng.normal(0, 0.1, 3)
        return found

    monkeypatch.setattr(Scorer, "look", look)
    monkeypatch.setattr(Scorer, "infill", infill)
    monkeypatch.setattr(Scorer, "match", lambda self, memory, owner, texts: rng.normal(size=len(texts)))
    monkeypatch.setattr(model.text_encoder, "image_key_values", lambda tokens: [(tokens, tokens)])
    found = unseen_evidence(Bench(data.path), model)
    natural = found["natural"]
    assert found["tiles"] == COUNT - VAL
    assert natural["evidence"]["nll"]["per_dimension"]["marine Count"]["n_wrong"] == (COUNT - VAL) // 4
    assert natural["evidence"]["nll"]["auroc"]["value"] == 1.0
    gain, blind_gain = (natural["evidence"][name]["auroc"]["value"] for name in ("gain", "gain, other image"))
    assert gain > blind_gain + 0.1
    blind = natural["evidence"]["nll, other image"]["per_dimension"]["marine Count"]["value"]
    assert blind == pytest.approx(0.5, abs=0.25)
    assert natural["evidence"]["nll"]["per_dimension"]["marine Count"]["value"] == 1.0
    assert 0.5 < found["auroc_dimension_rate"] < 1
    mistakes = found["mistakes"]["evidence"]
    assert mistakes["nll"]["auroc"]["value"] > 0.95
    assert mistakes["nll"]["auroc"]["value"] > mistakes["nll, other image"]["auroc"]["value"] + 0.15


def test_rows_stand_beside_what_does_not_look(data: Dataset, model: KnowLIP) -> None:
    measured = measure(Bench(data.path), KnowLIPEncoder("random", model))
    rows = {row.metric: row for row in measured.rows}
    assert "not taught by the texts" in rows["precision"].note
    unseen = measured.details["unseen"]
    assert isinstance(unseen, dict)
    assert rows[UNSEEN].value == unseen["auroc"]["value"]
    assert rows[UNSEEN].floor_name in ("chance", "other image", "dimension alone", "claims of relatives")
    assert rows[UNSEEN].floor >= unseen["auroc_other_image"]["value"]
    assert {"gain", "turned", "speckled", "itm"} <= unseen["natural"]["evidence"].keys()
    assert "neighbours" not in unseen["natural"]["evidence"], "these tiles have no relatives"


def test_without_truth_or_tiles_it_says_so(model: KnowLIP, tmp_path: Path) -> None:
    data = build(tmp_path / "ds", truth=False, revisions=False)
    assert unseen_evidence(Bench(data.path), model) == {"reason": "The data set has no truth."}
