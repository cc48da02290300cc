"""The readout: what it hands on, how it counts, and that everything it says turns with the image."""

import pytest
import torch

from knowlip.language.closed import CLOSED, MAPPED
from knowlip.models.readout import Answers, Readout, _by_region
from knowlip.models.stem import Stem


@pytest.fixture
def readout() -> Readout:
    torch.manual_seed(0)
    return Readout(width=16, channels=8, hidden=8).eval()


def test_shapes_and_probabilities(readout: Readout) -> None:
    answers, memory, said = readout(torch.randn(2, 8, 12, 12), torch.randn(2, 9, 16), torch.randn(2, 16))
    assert answers.log_rates_BLGG.shape == (2, 2, 12, 12)
    assert answers.regions_BM9.shape == (2, len(MAPPED), 9)
    assert memory.shape == (2, readout.tokens, 16)
    assert said.shape == (2, readout.summary_width)
    for place, question in enumerate(CLOSED):
        p = answers.closed_BQK[:, place].exp()
        torch.testing.assert_close(p[:, : len(question.answers)].sum(-1), torch.ones(2))
        assert (p[:, len(question.answers) :] == 0).all()


def test_regions_share_what_lies_on_their_border() -> None:
    rates = torch.rand(1, 2, 8, 8)
    found = _by_region(rates)
    torch.testing.assert_close(found.sum(-1), rates.sum((2, 3)))
    # an independent sum: every cell is cut into 3 x 3 equal pieces, which lie in one region each
    pieces = rates.repeat_interleave(3, 2).repeat_interleave(3, 3) / 9
    want = pieces.unflatten(2, (3, 8)).unflatten(4, (3, 8)).sum((3, 5)).flatten(2)
    torch.testing.assert_close(found, want)


def test_a_map_with_three_sharp_targets_counts_three(readout: Readout) -> None:
    with torch.no_grad():
        readout.whole[2].weight.zero_()
        readout.whole[2].bias.zero_()
    seen = torch.full((1, 2, 12, 12), -12.0)
    for y, x in ((1, 1), (1, 9), (8, 5)):
        seen[0, 0, y, x] = 0.0
    readout.rates = _Fixed(seen)  # type: ignore[assignment]
    answers, _, _ = readout(torch.randn(1, 8, 12, 12), torch.randn(1, 9, 16), torch.randn(1, 16))
    count = next(place for place, question in enumerate(CLOSED) if question.name == "count")
    p = answers.closed_BQK[0, count].exp()
    assert int(p.argmax()) in (2, 3)  # Poisson with a mean of 3: two and three are equally likely
    torch.testing.assert_close(p[2], p[3], rtol=0.02, atol=0.01)
    assert p[3] > 4 * p[0]


class _Fixed(torch.nn.Module):
    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        return self.value


def test_the_stem_is_told_the_metres_of_a_pixel() -> None:
    torch.manual_seed(0)
    stem, pixels = Stem(16, 1, told=True).eval(), torch.randn(3, 1, 32, 32)
    with torch.no_grad():
        one, two, unknown = (stem(pixels, torch.full((3,), value)) for value in (1.0, 2.0, float("nan")))
        between = stem.down(pixels) + stem._scale(3, torch.full((3,), 2**0.5), stem.scales)[:, :, None, None]  # type: ignore[arg-type]
        ends = [stem.down(pixels) + stem.scales.weight[3 + step][None, :, None, None] for step in (0, 1)]  # type: ignore[union-attr]
        torch.testing.assert_close(stem(pixels), unknown)
        mixed = stem(pixels, torch.tensor([1.0, 2.0, float("nan")]))
    assert one.shape == (3, 16, 4, 4)
    assert not torch.allclose(one, two)
    torch.testing.assert_close(between, (ends[0] + ends[1]) / 2)
    torch.testing.assert_close(mixed, torch.stack([one[0], two[1], unknown[2]]))


def told(width: int) -> tuple[Readout, Answers, torch.Tensor]:
    """A readout with a layer norm of its own, what it answers of three images, and the tokens that tell it."""
    torch.manual_seed(0)
    wide = Readout(width, channels=8, hidden=8).eval()
    with torch.no_grad():
        wide.norm.weight.normal_(1.0, 0.2)
        wide.norm.bias.normal_(0.0, 0.2)
        answers, memory, _ = wide(torch.randn(3, 8, 12, 12), torch.randn(3, 9, width), torch.randn(3, width))
    return wide, answers, memory


def test_regions_are_read_back_from_the_tokens_that_tell_them() -> None:
    wide, answers, memory = told(96)
    with torch.no_grad():
        assert answers.regions_BM9.sigmoid().std() > 0.01
        torch.testing.assert_close(wide.regions_said(memory), answers.regions_BM9.sigmoid(), rtol=0, atol=1e-5)


def test_closed_answers_are_read_back_from_the_tokens_that_tell_them() -> None:
    wide, answers, memory = told(96)
    with torch.no_grad():
        for name in ("count", "type"):
            place = next(number for number, question in enumerate(CLOSED) if question.name == name)
            said = answers.closed_BQK[:, place, : len(CLOSED[place].answers)].exp()
            assert said.std() > 1e-3
            torch.testing.assert_close(wide.closed_said(memory, name), said, rtol=0, atol=1e-5)
