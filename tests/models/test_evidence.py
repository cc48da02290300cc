"""Heat maps of answers: the gradient against finite differences, attention against a model that looks everywhere."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig, load_model
from knowlip.models.evidence import evidence_maps, gradient_maps
from tests.inference.tiny_model import SENTENCES, tiny_model

QUESTIONS, ANSWERS = ["three ships", "water [MASK]"], ["upper left", "three"]
UNKNOWN = torch.full((2,), float("nan"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> KnowLIP:
    return load_model(tiny_model(tmp_path_factory.mktemp("model") / "model"), "cpu")


def pixels_of(model: KnowLIP, count: int = 2) -> Tensor:
    side = model.config.vision.image_size
    images = np.random.default_rng(1).integers(1, 255, (count, side, side), dtype=np.uint8)
    return model.prepare(list(images))


def with_stem() -> KnowLIP:
    torch.manual_seed(0)
    tokenizer = TextTokenizer.train(SENTENCES * 3, vocab_size=200)
    sizes = {"patch_size": 1, "embed_dim": 24, "depth": 1, "num_heads": 2}
    vision = VisionConfig("vit_tiny_patch16_224", 64, sizes, stem=16, ground_sampling=True)
    text = TextConfig(len(tokenizer), width=32, layers=2, heads=2, mlp_width=64, max_length=24, dropout=0.0)
    return KnowLIP(ModelConfig(vision, text, embed_dim=16, readout=True), tokenizer).eval()


@pytest.mark.parametrize("stage", [0, 1])
def test_gradients_are_those_of_finite_differences(model: KnowLIP, stage: int) -> None:
    """d log p / d x * x of a cell's channel is d log p / d s at s = 1, where s scales that number alone."""
    exact = copy.deepcopy(model).double()
    pixels = pixels_of(model, 1).double()
    question, answer, width = QUESTIONS[:1], ANSWERS[:1], UNKNOWN[:1].double()
    found = gradient_maps(exact, pixels, width, question, answer)[stage][0]
    part = (exact.visual_encoder.patch_embed, exact.visual_encoder)[stage]
    assert isinstance(part, nn.Module)
    cell, step = 6, 2e-2  # log p is taken in float32: a smaller step drowns in its rounding
    at = cell + (1 if stage else 0)  # tokens begin with the class token

    def log_p(channel: int, scale: float) -> float:
        def scaled(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            output = output.clone()
            output[0, at, channel] *= scale
            return output

        hook = part.register_forward_hook(scaled)
        try:
            with torch.inference_mode():
                tokens, _ = exact.encode_images(pixels, width)
                return float(exact.rank(tokens, question, answer)[0, 0])
        finally:
            hook.remove()

    slopes = [(log_p(c, 1 + step) - log_p(c, 1 - step)) / (2 * step) for c in range(24)]
    assert float(found[cell // 4, cell % 4]) == pytest.approx(float(np.linalg.norm(slopes)), rel=2e-2)


def test_rows_do_not_depend_on_each_other_and_weights_stay_untouched(model: KnowLIP) -> None:
    pixels = pixels_of(model)
    both = evidence_maps(model, pixels, UNKNOWN, QUESTIONS, ANSWERS)
    assert both.shape == (2, 32, 32)
    assert both.dtype == np.float32
    assert both.min() >= 0
    assert both.max(axis=(1, 2)).tolist() == pytest.approx([1, 1])
    for row in range(2):
        alone = evidence_maps(model, pixels[row : row + 1], UNKNOWN[:1], QUESTIONS[row : row + 1], [ANSWERS[row]])
        np.testing.assert_allclose(alone[0], both[row], atol=1e-4)
    assert not np.allclose(both[0], both[1], atol=0.05)
    other = evidence_maps(model, pixels, UNKNOWN, QUESTIONS, ["water", "water"])
    assert not np.allclose(other, both, atol=0.01)
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.inference_mode():  # as the commands of use are
        np.testing.assert_array_equal(evidence_maps(model, pixels, UNKNOWN, QUESTIONS, ANSWERS), both)


def test_frozen_weights_give_the_same_map(model: KnowLIP) -> None:
    want = evidence_maps(model, pixels_of(model), UNKNOWN, QUESTIONS, ANSWERS)
    frozen = copy.deepcopy(model).requires_grad_(False)
    np.testing.assert_allclose(evidence_maps(frozen, pixels_of(model), UNKNOWN, QUESTIONS, ANSWERS), want, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in frozen.parameters())


def test_a_model_with_a_stem_that_is_told_the_width() -> None:
    stemmed = with_stem()
    found = evidence_maps(stemmed, pixels_of(stemmed), torch.tensor([512.0, float("nan")]), QUESTIONS, ANSWERS)
    assert found.shape == (2, 64, 64)
    assert found.max(axis=(1, 2)).tolist() == pytest.approx([1, 1])


def test_attention_that_looks_everywhere_is_flat(model: KnowLIP) -> None:
    even = copy.deepcopy(model)
    for layer in even.text_encoder.encoder.layer:
        for parameter in layer.crossattention.self.key.parameters():  # type: ignore[union-attr]
            nn.init.zeros_(parameter)
    flat = evidence_maps(even, pixels_of(model), UNKNOWN, QUESTIONS, ANSWERS, "attention")
    np.testing.assert_allclose(flat, 1.0, atol=1e-5)
    assert evidence_maps(model, pixels_of(model), UNKNOWN, QUESTIONS, ANSWERS, "attention").std() > 0.01


@pytest.mark.parametrize(
    ("answers", "kind", "sentence"),
    [
        (["", "three"], "gradient", "empty answer"),
        (["water " * 30, "three"], "gradient", "longer than the model's 24"),
        (ANSWERS, "magic", "gradient or attention"),
    ],
)
def test_what_cannot_be_shown_is_refused(model: KnowLIP, answers: list[str], kind: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        evidence_maps(model, pixels_of(model), UNKNOWN, QUESTIONS, answers, kind)  # type: ignore[arg-type]


def test_the_folder_of_a_model_says_nothing_of_it(tmp_path: Path) -> None:
    """Maps are the same of a model that was saved and opened."""
    folder = tiny_model(tmp_path / "model", seed=3)
    first, again = (load_model(folder, "cpu") for _ in range(2))
    pixels = pixels_of(first)
    maps = [evidence_maps(one, pixels, UNKNOWN, QUESTIONS, ANSWERS) for one in (first, again)]
    np.testing.assert_array_equal(*maps)
