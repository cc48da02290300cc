"""Words and readout together: against the same mean by hand, and nothing where the readout has nothing to say."""

import pytest
import torch
from torch import nn

from knowlip.base.vocabulary import AIRCRAFT_TYPES, LANDFORMS, REGIONS, SHIP_TYPES
from knowlip.language.closed import CLOSED, HOLDS, MAPPED, PLACES
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.models.pooled import with_readout

OF_A_REGION = "What is the main landform in the upper right?"
ALL = "Which landforms are present?"


@pytest.fixture
def model(request: pytest.FixtureRequest) -> KnowLIP:
    """Its readout answers all closed questions, or the first so many."""
    torch.manual_seed(0)
    changes = {"embed_dim": 48, "depth": 1, "num_heads": 2, "patch_size": 16}
    vision = VisionConfig("vit_tiny_patch16_224", 48, changes)
    tokenizer = TextTokenizer.train([", ".join(LANDFORMS), OF_A_REGION, ALL] * 3, vocab_size=200)
    text = TextConfig(len(tokenizer), width=32, layers=1, heads=2, mlp_width=64, max_length=40, dropout=0.0)
    asked = getattr(request, "param", 0)
    config = ModelConfig(vision, text, embed_dim=16, readout=True, readout_questions=asked)
    return KnowLIP(config, tokenizer).eval()


def seen(model: KnowLIP) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens of two images, and the logits of landforms in regions (2, landforms, 9) that the readout gave."""
    with torch.inference_mode():
        tokens, _, answers = model.look(torch.randn(2, 1, 48, 48))
    assert answers is not None
    return tokens, answers.regions_BM9[:, [MAPPED.index(name) for name in LANDFORMS]]


def check_lists(found: torch.Tensor, lists: list[str], there: torch.Tensor) -> None:
    """Beside words that say nothing, a list has the root of the probability that just its landforms are there."""
    for row in range(2):
        want = torch.ones(len(lists))
        for number, one in enumerate(lists):
            for form, name in enumerate(LANDFORMS):
                want[number] *= there[row, form] if name in one.split(", ") else 1 - there[row, form]
        torch.testing.assert_close(found[row].softmax(0), want.sqrt() / want.sqrt().sum(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("likelier", ["ship", "aircraft"])
def test_the_type_is_the_geometric_mean_where_the_readout_sees_more_of_the_asked(model: KnowLIP, likelier: str) -> None:
    ships, aircraft = ([one.name for one in types] for types in (SHIP_TYPES, AIRCRAFT_TYPES))
    place = PLACES["type"]
    assert model.readout is not None
    final, width = model.readout.whole[-1], model.readout.real_QK.shape[1]
    assert isinstance(final, nn.Linear)
    shift = torch.zeros(len(CLOSED), width)
    shift[place, CLOSED[place].answers.index({"ship": ships, "aircraft": aircraft}[likelier][1])] = 3.0
    with torch.inference_mode():
        final.bias.add_(shift.flatten())
        tokens, _, said = model.look(torch.randn(2, 1, 48, 48))
    assert said is not None
    for subject, names in (("ship", ships), ("aircraft", aircraft)):
        words = torch.randn(2, len(names)).log_softmax(-1) - 0.5
        found = with_readout(model, tokens, [f"What type of {subject} is most common here?"] * 2, names, words)
        if subject != likelier:
            torch.testing.assert_close(found, words)
            continue
        odds = said.closed_BQK[:, place, [CLOSED[place].answers.index(name) for name in names]].exp().clamp(min=1e-3)
        want = (words.exp() * odds).sqrt()
        torch.testing.assert_close(found.softmax(1), want / want.sum(1, keepdim=True), rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(found.exp().sum(1), words.exp().sum(1))
        assert not torch.allclose(found, words, atol=1e-2)


def test_the_landform_of_a_region_is_the_geometric_mean_of_words_and_readout(model: KnowLIP) -> None:
    tokens, logits = seen(model)
    names = list(LANDFORMS[:4])
    words = torch.randn(2, 4).log_softmax(-1) - 0.5
    found = with_readout(model, tokens, [OF_A_REGION] * 2, names, words)
    for row in range(2):
        odds = logits[row, :4, REGIONS.index("upper right")].exp()
        want = (words[row].exp() * odds).sqrt()
        torch.testing.assert_close(found[row].softmax(0), want / want.sum(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(found.exp().sum(1), words.exp().sum(1))


def test_all_landforms_are_those_of_which_the_tile_holds_a_tenth(model: KnowLIP) -> None:
    with torch.inference_mode():
        tokens, _, said = model.look(torch.randn(2, 1, 48, 48))
    assert said is not None
    places = [PLACES[name] for name in HOLDS.values()]
    yes = said.closed_BQK[:, places, 1].exp()
    assert yes.std() > 1e-3
    lists = [LANDFORMS[0], f"{LANDFORMS[0]}, {LANDFORMS[2]}", f"{LANDFORMS[1]}, {LANDFORMS[3]}"]
    found = with_readout(model, tokens, [ALL] * 2, lists, torch.zeros(2, 3))
    check_lists(found, lists, yes)


def test_what_nothing_has_taught_is_not_heard(model: KnowLIP) -> None:
    tokens, logits = seen(model)
    lists, words = [LANDFORMS[0], f"{LANDFORMS[0]}, {LANDFORMS[2]}"], torch.zeros(2, 2)
    asked = with_readout(model, tokens, [ALL] * 2, lists, words)
    model.card["untaught"] = [f"holds {LANDFORMS[0]}", "type"]
    found = with_readout(model, tokens, [ALL] * 2, lists, words)
    assert not torch.allclose(found, asked)
    there = logits.amax(2).sigmoid()[:, 2]
    want = torch.stack([1 - there, there], 1).sqrt()
    torch.testing.assert_close(found.softmax(1), want / want.sum(1, keepdim=True), rtol=1e-3, atol=1e-5)
    kinds = [one.name for one in SHIP_TYPES]
    for subject in ("ship", "aircraft"):
        question, plain = f"What type of {subject} is most common here?", torch.randn(2, len(kinds))
        torch.testing.assert_close(with_readout(model, tokens, [question] * 2, kinds, plain), plain)


@pytest.mark.parametrize("model", [20], indirect=True)
def test_where_that_is_not_asked_they_are_those_that_some_region_holds(model: KnowLIP) -> None:
    tokens, logits = seen(model)
    lists = [LANDFORMS[0], f"{LANDFORMS[0]}, {LANDFORMS[2]}", f"{LANDFORMS[1]}, {LANDFORMS[3]}"]
    words = torch.zeros(2, 3)
    found = with_readout(model, tokens, [ALL] * 2, lists, words)
    there = logits.sigmoid().amax(2)
    check_lists(found, lists, there)


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("What is the main landform?", list(LANDFORMS)),  # the words know it better
        ("How many ships are visible?", ["0", "1"]),
        ("What type of ship is most common here?", [SHIP_TYPES[0].name, "submarine"]),
        (OF_A_REGION, [LANDFORMS[0], "land"]),  # a word of another set of classes
        (OF_A_REGION, [LANDFORMS[0], f"{LANDFORMS[0]}, {LANDFORMS[1]}"]),
        ("Is there any smoke in the upper right?", list(LANDFORMS)),
    ],
)
def test_other_questions_and_answers_stay_with_the_words(model: KnowLIP, question: str, answers: list[str]) -> None:
    tokens, _ = seen(model)
    words = torch.randn(2, len(answers))
    torch.testing.assert_close(with_readout(model, tokens, [question] * 2, answers, words), words)


def test_rank_hears_the_readout_of_each_image(model: KnowLIP) -> None:
    tokens, logits = seen(model)
    alone = model.rank(tokens, [OF_A_REGION] * 2, list(LANDFORMS), score="mean")
    both = model.rank(tokens, [OF_A_REGION] * 2, list(LANDFORMS))
    swapped = model.rank(tokens.flip(0), [OF_A_REGION] * 2, list(LANDFORMS)).flip(0)
    torch.testing.assert_close(both, swapped, rtol=1e-4, atol=1e-4)
    at = logits[:, :, REGIONS.index("upper right")]
    assert not torch.allclose(both.softmax(-1), alone.softmax(-1), atol=1e-3)
    assert at.std() > 0
