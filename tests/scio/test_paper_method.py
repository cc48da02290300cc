"""`scio.method: paper` is Eqs. 10-15 and Algorithm 1 of arXiv 2509.23927 and nothing else: decisions on a toy model
beside formulas spelled out here in float64."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from knowlip.dataset import Dataset
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.scio import passes
from knowlip.scio.config import ScioConfig
from knowlip.scio.passes import Pass, decide
from knowlip.training.corpus import Corpus
from knowlip.training.tiles import load_pixels
from tests.training.runs import annotated

__all__ = ["annotated"]
SEED, TILES, NEGATIVES, NEW_TOKENS = 5, 40, 7, 6


@pytest.fixture(scope="module", autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="module")
def corpus(annotated: Path, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    data = Dataset(annotated)
    texts = data.texts(0)
    tokenizer = TextTokenizer.train((texts["dimension"] + ": " + texts["text"]).to_list(), 400)
    tile_ids = sorted(data.tiles()["tile_id"])[:TILES]
    return Corpus(data, tokenizer, tile_ids, load_pixels(data, tile_ids, 16, tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def model(corpus: Corpus, float64: None) -> KnowLIP:
    torch.manual_seed(0)
    vision = VisionConfig("vit_tiny_patch16_224", 16, {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2})
    text = TextConfig(len(corpus.tokenizer), width=32, layers=1, heads=2, mlp_width=32, max_length=400, dropout=0.0)
    model = KnowLIP(ModelConfig(vision, text, embed_dim=8), corpus.tokenizer).eval()
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.3)
    normalise = model.normalise
    model.normalise = lambda pixels: normalise(pixels).double()  # type: ignore[method-assign]
    return model


class Formulas:
    """L_ITC and s of single pairs, by the model's towers one text at a time."""

    def __init__(self, model: KnowLIP, corpus: Corpus) -> None:
        self.model, self.corpus, self.tokenizer = model, corpus, corpus.tokenizer
        self.image, self.write = cache(self._image), cache(self._write)
        table = corpus.table.sort_values(["tile_id", "slot"])
        self.parts = [list(zip(rows["dimension"], rows["text"])) for _, rows in table.groupby("tile_id", sort=True)]
        drawn = np.random.default_rng(SEED).permutation(len(self.parts))[:NEGATIVES].tolist()
        self.negatives = [(row, self.image(row)[1], self.text(self.parts[row])) for row in drawn]
        self.tau = float(model.temp.detach())

    @torch.inference_mode()
    def _image(self, row: int) -> tuple[torch.Tensor, np.ndarray]:
        """Image tokens, and the projected feature of unit length."""
        pixels = torch.from_numpy(np.ascontiguousarray(self.corpus.pixels[[row]]))
        tokens, feature = self.model.encode_images(self.model.normalise(pixels))
        return tokens, feature[0].numpy()

    def ids(self, parts: list[tuple[str, str]]) -> list[int]:
        words = (self.tokenizer.ids(f"{name}:") + self.tokenizer.ids(text.rstrip(". ") + ".") for name, text in parts)
        return [token for part in words for token in part]

    @torch.inference_mode()
    def text(self, parts: list[tuple[str, str]]) -> np.ndarray:
        framed = torch.tensor([[self.tokenizer.cls, *self.ids(parts), self.tokenizer.sep]])
        feature: np.ndarray = self.model.embed_ids(framed, torch.ones_like(framed, dtype=torch.bool))[0].numpy()
        return feature

    def itc(self, row: int, parts: list[tuple[str, str]]) -> float:
        """Eq. 4 of one pair, both directions averaged. Its image and texts equal to the tile's own are no negatives."""
        image, text = self.image(row)[1], self.text(parts)
        others = [one for one in self.negatives if one[0] != row and self.parts[one[0]] != self.parts[row]]
        sides = ((image @ text, [image @ t for _, _, t in others]), (image @ text, [text @ v for _, v, _ in others]))
        return float(
            np.mean([np.log(np.exp(np.array([own, *rest]) / self.tau).sum()) - own / self.tau for own, rest in sides])
        )

    @torch.inference_mode()
    def itm(self, row: int, parts: list[tuple[str, str]]) -> float:
        """s(v, t): one logit minus the other."""
        framed = torch.tensor([[self.tokenizer.enc, *self.ids(parts), self.tokenizer.sep]])
        memory = self.model.image_key_values(self.image(row)[0])
        logits = self.model.match_ids(framed, torch.ones_like(framed, dtype=torch.bool), memory)
        return float(logits[0, 1] - logits[0, 0])

    @torch.inference_mode()
    def _write(self, row: int, slot: int) -> str:
        """Eqs. 12-13: this one fragment is [MASK], all others are read, other noise too."""
        prompt = " ".join(
            f"{name}: [MASK]" if at == slot else f"{name}: {text.rstrip('. ')}."
            for at, (name, text) in enumerate(self.parts[row])
        )
        (written,) = self.model.generate(self.image(row)[0], [prompt], NEW_TOKENS, holes=[0])
        return written

    def with_text(self, row: int, new: dict[int, str]) -> list[tuple[str, str]]:
        return [(name, new.get(at, text)) for at, (name, text) in enumerate(self.parts[row])]


@pytest.fixture(scope="module")
def formulas(model: KnowLIP, corpus: Corpus) -> Formulas:
    return Formulas(model, corpus)


def settings(**changes: object) -> ScioConfig:
    return ScioConfig(method="paper", negatives=NEGATIVES, max_new_tokens=NEW_TOKENS, tiles_at_once=4, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def screened(model: KnowLIP, corpus: Corpus) -> pd.DataFrame:
    """Rows of the screening, by tile and slot."""
    return decide("screen", model, corpus, settings(), np.random.default_rng(SEED))[0]


def test_screening_is_equations_10_and_11_against_0(formulas: Formulas, corpus: Corpus, screened: pd.DataFrame) -> None:
    found = screened.sort_values(["tile_id", "slot"]).reset_index(drop=True)
    suspects = noise = 0
    for row, parts in enumerate(formulas.parts):
        whole_itc, whole_itm = formulas.itc(row, parts), formulas.itm(row, parts)
        for slot in range(8):
            one, without = found.iloc[8 * row + slot], parts[:slot] + parts[slot + 1 :]
            delta_itc = formulas.itc(row, without) - whole_itc
            assert one["delta_itc"] == pytest.approx(delta_itc, rel=1e-9, abs=1e-9)
            confirmed = False
            if delta_itc < 0:
                delta_itm = formulas.itm(row, without) - whole_itm
                assert one["delta_itm"] == pytest.approx(delta_itm, rel=1e-9, abs=1e-9)
                confirmed = delta_itm > 0
            assert one["decision"] == ("screened" if confirmed else "kept")
            suspects, noise = suspects + (delta_itc < 0), noise + confirmed
    assert 5 < noise < suspects < len(found)


@pytest.fixture(scope="module")
def noisy(corpus: Corpus, screened: pd.DataFrame) -> Iterator[dict[int, list[int]]]:
    """Tile row -> noisy slots; the corpus knows them, as from a revision."""
    found: dict[int, list[int]] = {}
    for tile, slot in screened.loc[screened["decision"] == "screened", ["tile_id", "slot"]].itertuples(index=False):
        found.setdefault(corpus.tile_ids.index(tile), []).append(slot - 1)
    for row, slots in found.items():
        corpus.texts[row].hidden = set(slots)
    assert any(len(slots) > 1 for slots in found.values())
    yield found
    for row in found:
        corpus.texts[row].hidden = set()


@pytest.mark.parametrize("policy", ["fragment", "whole"])
def test_rewriting_is_equations_12_to_15(
    formulas: Formulas, model: KnowLIP, corpus: Corpus, noisy: dict[int, list[int]], policy: str
) -> None:
    rows, figures = decide("reconstruct", model, corpus, settings(policy=policy), np.random.default_rng(SEED))
    rows = rows.set_index(["tile_id", "slot"])
    assert len(rows) == sum(map(len, noisy.values()))
    accepted = 0
    for row, slots in noisy.items():
        written = {slot: formulas.write(row, slot) for slot in slots}
        for slot in slots:
            new = formulas.with_text(row, written if policy == "whole" else {slot: written[slot]})
            delta_itc = formulas.itc(row, new) - formulas.itc(row, formulas.parts[row])
            delta_itm = formulas.itm(row, new) - formulas.itm(row, formulas.parts[row])
            one = rows.loc[(corpus.tile_ids[row], slot + 1)]
            assert one["delta_itc"] == pytest.approx(delta_itc, rel=1e-9, abs=1e-9)
            assert one["delta_itm"] == pytest.approx(delta_itm, rel=1e-9, abs=1e-9)
            better = delta_itc < 0 < delta_itm
            assert one["decision"] == ("rewritten" if better else "rejected")
            assert one["text"] == (written[slot] if better else formulas.parts[row][slot][1])
            accepted += better
    assert 0 < accepted < len(rows)
    assert figures["rewritten"] == accepted
    assert figures["kept"] == 0


def test_nothing_is_injected_or_learned(
    model: KnowLIP, corpus: Corpus, noisy: dict[int, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("draw_sample", "learn", "learn_rewrites", "try_rewrites"):
        monkeypatch.setattr(passes, name, lambda *_: pytest.fail("the paper calibrates nothing"))
    for action in ("screen", "reconstruct"):
        rng = np.random.default_rng(SEED)
        assert Pass(action, model, corpus, settings(), rng, rng).phases == (action,)  # type: ignore[arg-type]
        decide(action, model, corpus, settings(), rng)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change", [{"evidence": "all"}, {"threshold": 0.1}, {"baseline": "without"}, {"noise": "all"}, {"precision": 0.5}]
)
def test_settings_of_the_other_method_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"scio.{next(iter(change))} is a setting of scio.method calibrated"):
        settings(**change)
