"""The grammar: wordings are drawn by a key, few words come twice, and a user's file is taken only where it is true."""

import re
from pathlib import Path

import pytest

from knowlip.language.claims import parse_claims
from knowlip.language.grammar import Grammar
from knowlip.language.statements import Layer, Statement
from knowlip.language.topics import CLAIMING
from knowlip.language.wordings import parse, standard_topics
from knowlip.language.words import HEDGES

THREE = Statement("count", {"category": "ship", "number": 3})


def test_a_key_decides() -> None:
    grammar = Grammar.standard()
    said = [grammar.say(THREE, str(key)) for key in range(200)]
    assert said == [Grammar.standard().say(THREE, str(key)) for key in range(200)]
    assert len(set(said)) > 30
    assert all(parse_claims("marine", "Count", text)["count"] == 3 for text in said)


def test_words_that_were_used_come_again_less() -> None:
    grammar = Grammar.standard()
    used = {"ships", "visible", "bright", "echoes", "scene"}
    often = [
        sum(word in used for key in range(300) for word in grammar.say(THREE, str(key), known).split())
        for known in ((), used)
    ]
    assert often[1] < 0.6 * often[0]


def test_hedges() -> None:
    grammar, ship = Grammar.standard(), Statement("category", {"category": "ship", "types": ["tanker"], "one": True})
    likely, open_ = HEDGES[1:]
    for key in map(str, range(60)):
        plain, one, two = (grammar.say(ship, key, hedge=level) for level in range(3))
        assert not any(word in plain for word in likely + open_)
        assert any(word in one for word in likely)
        assert any(word in two for word in open_)


def test_doubt_stands_where_a_wording_has_a_place_for_it() -> None:
    grammar = Grammar.standard()
    said = {grammar.say(Statement("roads-none"), str(key), hedge=1) for key in range(60)}
    assert not any(text.startswith(("likely without", "probably without")) for text in said)
    assert "probably no roads visible" in said


def test_a_caption_keeps_to_its_words_for_directions() -> None:
    grammar = Grammar.standard()
    families = [{"upper", "lower"}, {"top", "bottom"}, {"north", "northeast", "northwest", "south", "southwest"}]
    for tile in range(30):
        places = [Statement("buildings-some", {"regions": [0, 2]}), Statement("water", {"percent": 20, "regions": [6]})]
        said = [grammar.say(place, f"0 tile-{tile} {place.topic}") for place in places]
        words = set(re.findall("[a-z]+", " ".join(said).replace("ern ", " ")))
        assert sum(not family.isdisjoint(words) for family in families) == 1, said


def test_two_targets_and_one_cover() -> None:
    grammar = Grammar.standard()
    two = Statement("pattern-scattered", {"category": "ship", "two": True})
    all_water = Statement("shares", {"shares": {"water": 100}, "full": True})
    for key in map(str, range(40)):
        assert "two" in grammar.say(two, key)
        assert "percent" not in grammar.say(all_water, key)
    assert parse_claims("marine", "Region", grammar.say(all_water, "1")) == {"shares": {"water": 1.0}}


def test_covers_without_regions_come_first() -> None:
    around = Statement("around", {"category": "ship", "covers": {"field": [0], "water": []}})
    said = {Grammar.standard().say(around, f"{key} around") for key in range(40)}
    assert all(text.index("water, and ") < text.index(" in the ") or text.startswith("in the") for text in said)


def test_number_and_values() -> None:
    grammar = Grammar.standard()
    one = {grammar.say(Statement("count", {"category": "ship", "number": 1}), str(key)) for key in range(60)}
    assert not any("ships are" in text or "ship are" in text for text in one)
    nothing = Statement("location", {"category": "ship", "regions": []})
    with pytest.raises(ValueError, match="location has no wording for the slots"):
        grammar.say(nothing, "")
    with pytest.raises(ValueError, match="no topic 'weather'"):
        grammar.say(Statement("weather"), "")
    where = Statement("place-country", {"country": "St. Lucia: isle"}, "geo", Layer.EARTH)
    assert "St Lucia isle" in grammar.say(where, "0")


def test_what_topics_rest_on() -> None:
    grammar = Grammar.standard()
    assert grammar.evidence_of("count") == "visual"
    assert grammar.layer_of("count") is Layer.INSTANCE
    assert grammar.evidence_of("place-country") == "geo"
    assert set(grammar.topics) == set(standard_topics())


def test_own_wordings_stand_in_place_of_the_standard_ones_or_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    body = "evidence: visual, layer: 4, wordings: ['{number} {category} <rides|ride> at anchor']"
    path.write_text(f"count: {{{body}}}\n")
    assert {Grammar.with_file(path).say(THREE, str(key)).split(" ", 2)[2] for key in range(20)} == {"ride at anchor"}
    path.write_text(f"count: {{{body}, add: true}}\n")
    said = [Grammar.with_file(path).say(THREE, str(key)) for key in range(200)]
    assert 0 < sum("anchor" in text for text in said) < 100
    assert Grammar.with_file(path).say(Statement("water-none"), "1") == Grammar.standard().say(
        Statement("water-none"), "1"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "1 to 500 topics"),
        ("- a", "1 to 500 topics"),
        ("count: [", "is not valid YAML"),
        ("count: !!python/object/apply:os.system ['true']", "is not valid YAML"),
        ("weather: {evidence: geo, layer: 1, wordings: ['rain']}", "topic weather, which there is not"),
        ("Count: {evidence: visual, layer: 4, wordings: ['rain']}", "'Count': use lower-case"),
        ("count: {evidence: visual, layer: 4, wordings: ['{number} {category}']}\ncount: {}", "count twice"),
        ("count: {evidence: seen, layer: 4, wordings: ['{number} {category}']}", "needs an evidence"),
        ("count: {evidence: geo, layer: 4, wordings: ['{number} {category}']}", "rests on visual, layer 4"),
        ("count: {evidence: visual, layer: 9, wordings: ['{number} {category}']}", "and a layer"),
        ("count: {evidence: visual, layer: 4, wordings: []}", "has 0 wordings"),
        ("count: {evidence: visual, layer: 4, wordings: [3]}", "wording 3, no text"),
        ("count: {evidence: visual, layer: 4, wordings: ['{number} [ships|boats'], more: 1}", "must hold evidence"),
        ("count: {evidence: visual, layer: 4, wordings: ['{number} [ships|boats']}", "bracket that no ] closes"),
        ("count: {evidence: visual, layer: 4, wordings: ['{number} ships]']}", "bracket or a | that stands alone"),
        ("count: {evidence: visual, layer: 4, wordings: ['{number} <a|b|c>']}", "3 pieces between < and >"),
        ("count: {evidence: visual, layer: 4, wordings: ['{Number} ships']}", "slot {Number}"),
        ("count: {evidence: visual, layer: 4, wordings: ['{number} ship[s|]']}", "touches a word"),
        ("count: {evidence: visual, layer: 4, wordings: ['{number} ships. Really']}", "one sentence"),
        ("count: {evidence: visual, layer: 4, wordings: ['{number} ships {colour}']}", "slot colour, which"),
        ("count: {evidence: visual, layer: 4, wordings: ['some {category}']}", "fits no statement"),
        ("count: {evidence: visual, layer: 4, wordings: ['{number} or 40 {category}']}", "read as"),
        ("location: {evidence: visual, layer: 4, wordings: ['not {in_regions} but left']}", "read as"),
        ("place-country: {evidence: geo, layer: 1, wordings: ['open sea off {country}']}", "behind a"),
        ("count: {evidence: visual, layer: 4, wordings: [{when: most}]}", "without when and say"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"own\.yaml") as refused:
        Grammar.with_file(path)
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_sizes_have_limits(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    with pytest.raises(ValueError, match="cannot be read"):
        Grammar.with_file(path)
    path.write_bytes(b"#" * (1 << 21))
    with pytest.raises(ValueError, match="at most"):
        Grammar.with_file(path)
    path.write_text("count: {evidence: visual, layer: 4, wordings: [" + "'{number} {category}', " * 300 + "]}")
    with pytest.raises(ValueError, match="201 wordings"):
        Grammar.with_file(path)
    with pytest.raises(ValueError, match="401 characters"):
        parse("x" * 401)
    bomb = "a: &a ['{number} {category}']\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 60)}]\n" for before, name in zip("abcdef", "bcdefg")
    )
    path.write_text(bomb)
    with pytest.raises(ValueError, match="more than 200,000 values"):
        Grammar.with_file(path)
    path.write_text("count: " + "[" * 20000)
    with pytest.raises(ValueError, match=r"levels|YAML"):
        Grammar.with_file(path)


def test_the_example_of_the_docs(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "language.md").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    grammar = Grammar.with_file(path)
    assert grammar.say(Statement("place-country", {"country": "Japan"}, "geo"), "1").endswith("within Japan")
    assert any("anchor" in grammar.say(THREE, str(key)) for key in range(100))
    form = page.split("    location:\n")[1].split("\n\n|")[0].split("\n\n")[0]
    path.write_text("\n".join(["location:", *(line[4:] for line in form.splitlines())]))
    place = Statement("location", {"category": "ship", "regions": [0], "one": True})
    said = Grammar.with_file(path).say(place, "2")
    assert parse_claims("marine", "Location", said)["regions"] == [0]


def test_the_docs_name_every_topic_that_makes_claims() -> None:
    page = (Path(__file__).parents[2] / "docs" / "language.md").read_text()
    for topic in CLAIMING:
        kind, _, name = topic.partition("-")
        assert f"`{topic}`" in page or ((f"`-{name}`" in page or f"`{name}`" in page) and f"`{kind}-" in page), topic
