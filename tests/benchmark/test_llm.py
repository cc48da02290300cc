"""Language models behind local servers, right, wrong and misbehaving, asked what evaluate asks."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from knowlip.base.rows import Results, Row, read_results
from knowlip.benchmark.llm.prompt import prompt_of
from knowlip.benchmark.llm.published import PUBLISHED
from knowlip.benchmark.llm.reading import MOST_READ, read_reply
from knowlip.benchmark.llm.run import BenchLlmConfig, bench_llm, show
from knowlip.benchmark.llm.settings import LlmOptions
from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.language.questions import QUESTION_TYPES, Question, QuestionType
from knowlip.models import load_model
from knowlip.models.encoders import open_encoder
from knowlip.tasks.answers import answer, even, floors_of, posed
from knowlip.tasks.bench import Bench, MeasureLimits
from tests.annotators.fault_server import KEY, FaultServer
from tests.annotators.openai_stub import Stub, completion, failure
from tests.benchmark.numbered import build
from tests.inference.tiny_model import tiny_model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return build(tmp_path_factory.mktemp("numbered") / "ds")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def config(data: Dataset, out: Path, url: str, **changes: Any) -> BenchLlmConfig:
    options = {"backoff_s": 0.001, "retries": 3, "timeout_s": 5.0} | changes.pop("options", {})
    return BenchLlmConfig(
        **{
            "dataset": data.path,
            "model": "stub",
            "out": out,
            "base_url": url,
            "questions_per_type": 8,
            "concurrency": 3,
        }
        | changes,
        openai=LlmOptions(**options),
    )


def asked_of(data: Dataset) -> list[Question]:
    return posed(Bench(data.path, limits=MeasureLimits(questions_per_type=8))).questions


def text_of(body: dict[str, Any]) -> str:
    content = body["messages"][0]["content"]
    return str(content if isinstance(content, str) else content[0]["text"])


def image_of(body: dict[str, Any]) -> str:
    """The tile whose image a request holds: it spells its number."""
    url = body["messages"][0]["content"][1]["image_url"]["url"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))))
    return f"t{int(pixels[0, 0]) * 256 + int(pixels[0, 1])}"


def question_of(body: dict[str, Any]) -> str:
    """Tile and words of a question."""
    return f"{image_of(body)}/{text_of(body).splitlines()[1]}"


def row(results: Results, metric: str, encoder: str) -> Row:
    (found,) = (one for one in results.rows if (one.metric, one.encoder) == (metric, encoder))
    return found


# ---- prompt and parsing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "reply", "want"),
    [
        ("count", "3", "3"),
        ("count", "There are **three** ships.", "3"),
        ("count", "<think>maybe 5? or 7</think>\nAnswer: 03.", "3"),
        ("count", "No ships are visible", "0"),
        ("count", '```json\n{"answer": 3}\n```', "3"),
        ("count", '{"count": "3"}', "3"),
        ("count", '{"answer": 3, "confidence": 0.9}', ""),
        ("position", '{"answer": "upper left"}', "upper left"),
        ("count", "3 or 4", ""),
        ("count", "about 3.5", ""),
        ("count", "about 3", ""),
        ("count", "approximately 3 ships", ""),
        ("count", "roughly 12", ""),
        ("count", "There are around 3 ships.", ""),
        ("count", "circa 5", ""),
        ("count", "3 ships or so", ""),
        ("count", "Please note that there are 3 ships.", "3"),
        ("count", "In the image that you provided, there are 3 ships.", "3"),
        ("count", "Assuming that there are 3 ships, the count is 3", ""),
        ("count", "1,200", ""),
        ("count", "many", ""),
        ("count", "35", "35"),
        ("count", "three (3) ships", "3"),
        ("count", "I see twelve ships in the image.", "12"),
        ("count", "There are no visible vessels", "0"),
        ("count", "None.", "0"),
        ("count", "The number of ships in this image is 3.", "3"),
        ("count", "No ship type can be told", ""),
        ("count", "There are no ships in the upper left", ""),
        ("count", "3 large ships", ""),
        ("count", "3 ships and several boats", ""),
        ("count", "1. There are ships", ""),
        ("count", "region 5", ""),
        ("count", "This one is hard to tell.", ""),
        ("count", "twenty-one", ""),
        ("count", "thirty five ships", ""),
        ("count", "-3", ""),
        ("count", "3-5", ""),
        ("count", "not 5", ""),
        ("count", "more than 20", ""),
        ("count", "20 or more", ""),
        ("count", "at least 3", ""),
        ("count", "maybe 5 or 7\n</think>\n3", "3"),
        ("count", "<think>5</think> 6 </think>3", "3"),
        ("count", "<think>5", ""),
        ("recognition", "not a tanker", ""),
        ("recognition", "anything but a tanker", ""),
        ("recognition", "It isn't a tanker", ""),
        ("recognition", "a tanker or a ferry", ""),
        ("recognition", "larger than a tanker", ""),
        ("recognition", "Cargo ships", "cargo ship"),
        ("recognition", "It is a tanker, not a bulk carrier", ""),
        ("recognition", "vessel", ""),
        ("position", "Top-left corner", "upper left"),
        ("position", "the middle of the image", "center"),
        ("position", "center-right", "center right"),
        ("position", "Right center", "center right"),
        ("position", "left", ""),
        ("position", "bottom, center", "lower center"),
        ("position", "bottom (center)", "lower center"),
        ("position", "center, bottom", "lower center"),
        ("position", "middle row, left column", "center left"),
        ("position", "left column, middle row", "center left"),
        ("position", "middle row", ""),
        ("position", "the center of the left side", ""),
        ("position", "to the left of the center", ""),
        ("position", "north of the center", ""),
        ("position", "not center", ""),
        ("position", "upper, left, center", ""),
        ("position", "upper left and lower right", ""),
        ("main_landform", "Built up area", "built-up"),
        ("main_landform", "Based on the image provided, it is water.", "water"),
        ("main_landform", "I would say water", "water"),
        ("main_landform", "The image you share shows water.", "water"),
        ("main_landform", "Possible answers include water.", ""),
        ("main_landform", "The image is blank, so the landform is water by default.", ""),
        ("all_landforms", "The image includes water and field.", "water, field"),
        ("main_landform", "The ocean.", "water"),
        ("main_landform", "", ""),
        ("main_landform", "there is no water", ""),
        ("main_landform", "land without water", ""),
        ("main_landform", "doesn't show water", ""),
        ("main_landform", "It doesn\u2019t show water", ""),
        ("main_landform", "The field of view is dark", ""),
        ("main_landform", "a town next to water", ""),
        ("main_landform", "an air field", "airfield"),
        ("main_landform", "water or field", ""),
        ("all_landforms", "Field, water", "water, field"),
        ("all_landforms", "forest and fields", "field, wood"),
        ("all_landforms", "water, but no wood", ""),
        ("all_landforms", "mountains", ""),
        ("all_landforms", "Answer:\n- water\n- field", "water, field"),
        ("regional_landform", "Final answer: quay\n", "quay"),
        ("regional_landform", "I think it is hard to say.\n**Answer:** wood", "wood"),
    ],
)
def test_replies_are_read_by_rules(kind: str, reply: str, want: str) -> None:
    found = read_reply(Question("t0", QuestionType(kind), "?", ""), reply)
    assert (found.answer, bool(found.problem)) == (want, not want)


@pytest.mark.parametrize(
    ("kind", "reply"),
    [
        ("count", "I'm sorry, I have no access to the image."),
        ("count", "No image was provided."),
        ("count", "Sorry, no."),
        ("count", "I have no way to know"),
        ("count", "One cannot tell"),
        ("main_landform", "cannot be field"),
        ("all_landforms", "I cannot determine whether water, field, wood, built-up, airfield or quay are present."),
        ("position", "I can\u2019t see the center."),
        ("recognition", "Answer: I am unable to tell a tanker."),
        ("count", "As a text-based model I would need the picture; 0"),
        ("count", "I need to see the image first: 0 ships."),
        ("count", "Please provide the image. 0"),
        ("count", "Could you please upload it? Example: 3 ships."),
        ("main_landform", "Please provide the SAR image so that I see the water."),
        ("main_landform", "Please upload the image of the airfield."),
        ("position", "Please share the image, and I will name the region, e.g. center."),
        ("position", "I need the image to see which region (for example, upper left) holds most ships."),
        ("main_landform", "I decline to answer questions about water."),
        ("main_landform", "I won't discuss military sites such as an airfield."),
        ("main_landform", "I must decline: identifying an airfield is against policy."),
        ("recognition", "Identifying a fighter violates my guidelines."),
        ("main_landform", "If I had the image, I would check for water."),
    ],
)
def test_who_says_that_it_cannot_has_refused(kind: str, reply: str) -> None:
    found = read_reply(Question("t0", QuestionType(kind), "?", ""), reply)
    assert (found.answer, found.outcome) == ("", "refused")


@pytest.mark.parametrize(
    ("kind", "reply", "want"),
    [
        ("main_landform", "The image shows a large area of water, which", ""),
        ("main_landform", "water", ""),
        ("main_landform", "Answer: water", ""),
        ("main_landform", "Answer:\nwater is", ""),
        ("main_landform", "Answer: water\nThis is because", "water"),
        ("main_landform", "Answer: water\nNo, the answer is fie", ""),
        ("all_landforms", "Answer: water,\nfield,\nwo", ""),
        ("all_landforms", "Answer:\n- water\n- fie", ""),
        ("all_landforms", "Answer: water, field\nAs", "water, field"),
        ("count", "Answer: 1", ""),
        ("count", "<think>Answer: 1\nand", ""),
    ],
)
def test_of_what_was_cut_off_only_a_complete_line_counts(kind: str, reply: str, want: str) -> None:
    found = read_reply(Question("t0", QuestionType(kind), "?", ""), reply, cut=True)
    assert (found.answer, found.outcome) == (want, "read" if want else "unreadable")


def test_another_target_is_not_counted() -> None:
    for reply in ("no aircraft", "3 aircraft", "Zero planes"):
        assert not read_reply(Question("t0", QuestionType.COUNT, "?", "", "ship"), reply).answer
        assert read_reply(Question("t0", QuestionType.COUNT, "?", "", "aircraft"), reply).answer in ("0", "3")


def test_of_a_long_reply_only_a_marked_answer_counts() -> None:
    question = Question("t0", QuestionType.MAIN_LANDFORM, "?", "")
    long = "There is no " + " " * MOST_READ + "water"
    assert "longer than" in read_reply(question, long).problem
    assert read_reply(question, f"{long}\nAnswer: quay").answer == "quay"


def test_every_right_answer_is_read_as_itself(data: Dataset) -> None:
    for question in asked_of(data):
        for reply in (question.answer, f"{question.answer.title()}.", f"Answer: {question.answer}"):
            assert read_reply(question, reply).answer == question.answer


def test_prompts_name_the_answers_and_the_ground(data: Dataset) -> None:
    for question in asked_of(data):
        text = prompt_of(question, (512.0, 512.0), "choices", False)
        assert question.question in text.splitlines()
        assert "512 m by 512 m" in text
        if question.type != QuestionType.COUNT:
            assert all(part in text for part in question.answer.split(", "))
        assert "not shown the image" in prompt_of(question, (512.0, 512.0), "choices", True)
        assert prompt_of(question, (512.0, 512.0), "question", False) == question.question
        assert "ground" not in prompt_of(question, (float("nan"), float("nan")), "choices", False)


def test_tiles_that_are_not_square_or_of_unknown_spacing(tmp_path: Path) -> None:
    data = build(tmp_path / "uneven", uneven=True)
    with Stub(lambda body, number: completion("water")) as server:
        results = bench_llm(config(data, tmp_path / "out", server.url, metres_per_pixel=True))
    unknown = 0
    for body in server.bodies:
        number = int(image_of(body)[1:])
        if number % 3 == 0:
            unknown += 1
            assert "metres_per_pixel" not in body
            assert "of ground" not in text_of(body)
        else:
            assert body["metres_per_pixel"] == pytest.approx(1024 / 12)
            height = "1024 m (width) by 512 m (height)" if number % 2 == 0 else "1024 m by 1024 m"
            assert f" of {height} of ground." in text_of(body)
    assert 0 < unknown == results.details["vqa"]["without_metres_per_pixel"] < len(server.bodies)
    told = f"{unknown} of {len(server.bodies)} images went without metres_per_pixel"
    assert told in row(results, "mean accuracy", "stub").note


# ---- asking ---------------------------------------------------------------------------------------------------------


def test_a_model_that_knows_everything(data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = {f"{one.tile_id}/{one.question}": one for one in asked_of(data)}
    with Stub(lambda body, number: completion(truth[question_of(body)].answer)) as server:
        results = bench_llm(config(data, tmp_path, server.url))
        assert {body["model"] for body in server.bodies} == {"stub"}
        assert len(server.bodies) == len(truth)
        again = bench_llm(config(data, tmp_path, server.url))
        assert len(server.bodies) == len(truth)
    assert again.rows == results.rows == read_results(tmp_path / "results.json").rows
    kinds = {one.type for one in truth.values()}
    bench = Bench(data.path, limits=MeasureLimits(questions_per_type=8))
    for kind in kinds:
        found = row(results, f"{kind.replace('_', ' ')} accuracy", "stub")
        floors = floors_of(posed(bench), kind)
        assert (found.value, found.floor) == (1.0, max(value for value in floors.values() if value is not None))
    assert row(results, "mean accuracy", "stub").value == 1.0
    assert row(results, "count accuracy", bench.annotator).value < 1.0
    lines = [json.loads(line) for line in (tmp_path / "replies.jsonl").read_text().splitlines()]
    assert len(lines) == len(truth)
    assert all(line["right"] and line["outcome"] == "read" for line in lines)
    capsys.readouterr()
    show(results)
    told = capsys.readouterr().err
    assert "not measured here" in told
    assert all(name in told for name in PUBLISHED)


def test_published_rows_stand_apart(data: Dataset, tmp_path: Path) -> None:
    with Stub(lambda body, number: completion("water")) as server:
        results = bench_llm(config(data, tmp_path, server.url, blind=True))
    assert "not measured here" in results.details["published"]["source"]
    assert not {one.encoder for one in results.rows} & PUBLISHED.keys()
    assert all(len(values) == len(QUESTION_TYPES) for values in PUBLISHED.values())


def test_what_is_refused_or_cannot_be_read_counts_as_wrong(data: Dataset, tmp_path: Path) -> None:
    truth = {f"{one.tile_id}/{one.question}": one for one in asked_of(data)}
    counts = [name for name, one in truth.items() if one.type == QuestionType.COUNT]
    bad = {
        counts[0]: completion(None, refusal="I cannot help with that"),
        counts[1]: completion("", "content_filter"),
        counts[2]: completion("I see some", "length"),
        counts[3]: failure(400, "bad image"),
    }
    with Stub(lambda body, number: bad.get(question_of(body)) or completion(truth[question_of(body)].answer)) as server:
        results = bench_llm(config(data, tmp_path, server.url, name="numbers", label="me"))
        before = len(server.bodies)
        bad.pop(counts[3])
        mended = bench_llm(config(data, tmp_path, server.url, name="numbers", label="me"))
        assert len(server.bodies) == before + 1  # what got no answer is asked again, and nothing else
    found = row(results, "count accuracy", "me")
    assert (found.value, found.n) == (pytest.approx(1 - 4 / len(counts)), len(counts))
    assert "1 unreadable, 2 refused, 1 no answer: they count as wrong" in found.note
    assert results.details["vqa"]["outcomes"] == {"read": len(truth) - 4, "refused": 2, "unreadable": 1, "no answer": 1}
    assert "it was cut off (openai.max_tokens)" in results.details["vqa"]["reasons"]
    assert row(mended, "count accuracy", "me").value == pytest.approx(1 - 3 / len(counts))
    assert row(results, "replies that could be read", "me").value == pytest.approx(1 - 4 / len(truth))


def test_a_blind_model_gets_no_image_and_is_a_reference(data: Dataset, tmp_path: Path) -> None:
    def reply(body: dict[str, Any], number: int) -> Any:
        assert isinstance(body["messages"][0]["content"], str)
        return completion("2")

    with Stub(reply, ("org/stub",)) as server:
        results = bench_llm(config(data, tmp_path, server.url, blind=True, model="org/stub"))
    found = row(results, "count accuracy", "blind:stub")
    counts = [one for one in asked_of(data) if one.type == QuestionType.COUNT]
    assert found.value == pytest.approx(sum(one.answer == "2" for one in counts) / len(counts))
    assert found.is_reference


def test_the_image_of_another_tile(data: Dataset, tmp_path: Path) -> None:
    bench = Bench(data.path, limits=MeasureLimits(questions_per_type=8))
    truth = {f"{one.tile_id}/{one.question}": one for one in asked_of(data)}

    def reply(body: dict[str, Any], number: int) -> Any:
        known = truth.get(question_of(body))
        return completion(known.answer if known else "unknown")

    with Stub(reply) as server:
        results = bench_llm(config(data, tmp_path, server.url, other_image=True))
    assert row(results, "count accuracy", "stub").value == 1.0
    there = sum(one.tile_id in bench.others for one in truth.values())
    assert sum(results.details["vqa"]["outcomes"].values()) == len(truth)
    assert sum(results.details["vqa"]["other_image_outcomes"].values()) == there
    other = row(results, "count accuracy", "other-image:stub")
    counts = [one for one in asked_of(data) if one.type == QuestionType.COUNT]
    asked = [truth.get(f"{bench.others[one.tile_id]}/{one.question}") for one in counts if one.tile_id in bench.others]
    right = [one is not None and one.answer == mine.answer for one, mine in zip(asked, counts)]
    assert other.value == pytest.approx(sum(right) / len(right))


def test_a_server_that_fails_in_every_way_is_paid_once(data: Dataset, tmp_path: Path) -> None:
    faults = ["", "429", "500", "disconnect", "early disconnect", "half a body", "html", "refusal", "filter", "prose"]
    truth = {f"{one.tile_id}/{one.question}": one for one in asked_of(data)}
    order = {name: number for number, name in enumerate(truth)}

    def fault(place: str, times: int, body: dict[str, Any]) -> str:
        name = faults[order[place] % len(faults)]
        lasting = name in ("refusal", "filter", "prose")
        return name if lasting or times < 2 else ""

    server = FaultServer(fault, place=question_of, content=lambda place: truth[place].answer)
    with server:
        results = bench_llm(config(data, tmp_path, server.url, options={"timeout_s": 1.0}))
        assert set(faults) - {""} <= server.faults.keys()
        # A reply that broke off may have to be charged again where the server does not know the request; ours does.
        assert all(count == 1 for mark, count in server.charged.items() if server.places[mark] not in _html(order))
        asked = sum(server.asked.values())
        bench_llm(config(data, tmp_path, server.url, options={"timeout_s": 1.0}))
        assert sum(server.asked.values()) == asked
    bad = [name for name in truth if faults[order[name] % len(faults)] in ("refusal", "filter", "prose")]
    outcomes = results.details["vqa"]["outcomes"]
    assert outcomes["read"] == len(truth) - len(bad)
    assert outcomes["refused"] + outcomes["unreadable"] == len(bad)
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in stored


def _html(order: dict[str, int]) -> set[str]:
    """Questions answered with a page of a gateway: what was charged behind it is not known."""
    return {name for name, number in order.items() if number % 10 == 6}


def test_a_limit_of_the_cost_stops_and_a_higher_one_goes_on(
    data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = {f"{one.tile_id}/{one.question}": one for one in asked_of(data)}
    with FaultServer(place=question_of, content=lambda place: truth[place].answer) as server:
        line = ["bench", "llm", "--dataset", str(data.path), "--model", "stub", "--out", str(tmp_path)]
        line += ["--base_url", server.url, "--questions_per_type", "8", "--concurrency", "1"]
        line += ["--openai.price_in", "1000", "--openai.price_out", "1000", "--openai.max_tokens", "10"]
        assert main([*line, "--dry_run", "--json"]) == 0
        estimate = json.loads(capsys.readouterr().out)["details"]["estimate"]
        assert estimate["requests"] == len(truth)
        assert not server.asked
        assert main([*line, "--max_cost", "3"]) == 2  # of 5 that all cost
        assert "goes on from here" in capsys.readouterr().err
        assert 0 < len(server.charged) < len(truth)
        assert not (tmp_path / "results.json").exists()
        assert main([*line, "--max_cost", "1e6"]) == 0
        assert set(server.charged.values()) == {1}
        assert len(server.charged) == len(truth)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": ""}, "name of a model"),
        ({"prompt": "poem"}, "choices or question"),
        ({"blind": True, "other_image": True}, "need one"),
        ({"concurrency": 0}, "1 or more"),
    ],
)
def test_settings_that_cannot_be(data: Dataset, tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        config(data, tmp_path, "http://127.0.0.1:1/v1", **changes)


def test_another_endpoint_or_prompt_needs_another_folder(data: Dataset, tmp_path: Path) -> None:
    with Stub(lambda body, number: completion("water")) as one, Stub(lambda body, number: completion("field")) as other:
        bench_llm(config(data, tmp_path, one.url))
        with pytest.raises(ValueError, match="endpoint"):
            bench_llm(config(data, tmp_path, other.url))
        with pytest.raises(ValueError, match="prompt"):
            bench_llm(config(data, tmp_path, one.url, prompt="question"))
        more = bench_llm(config(data, tmp_path, one.url, questions_per_type=10))
    assert row(more, "count accuracy", "stub").n == 10


def test_a_model_that_takes_no_image_is_one_sentence(data: Dataset, tmp_path: Path) -> None:
    with (
        Stub(lambda body, number: failure(400, "images are not supported")) as server,
        pytest.raises(ValueError, match=r"None of \d+ questions was answered .*not supported"),
    ):
        bench_llm(config(data, tmp_path, server.url))
    assert not (tmp_path / "results.json").exists()


# ---- our own endpoint -----------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    pytest.importorskip("uvicorn")
    from tests.inference.served import served

    folder = tiny_model(tmp_path / "model")
    with served(folder) as url:
        yield url, folder


def test_our_own_endpoint_says_what_the_model_generates(data: Dataset, tmp_path: Path, own: tuple[str, Path]) -> None:
    url, folder = own
    bench = Bench(data.path, limits=MeasureLimits(questions_per_type=8), vqa_mode="generate")
    asked = posed(bench)
    encoder = open_encoder(str(folder))
    images = bench.images(encoder, only={one.tile_id for one in asked.questions})
    want = answer(encoder, images, asked.questions, asked.candidates, "generate")
    settings = {"model": "knowlip", "prompt": "question", "metres_per_pixel": True, "options": {"max_tokens": 16}}
    results = bench_llm(config(data, tmp_path / "out", url, **settings))
    lines = [json.loads(line) for line in (tmp_path / "out" / "replies.jsonl").read_text().splitlines()]
    assert [line["question"] for line in lines] == [one.question for one in asked.questions]
    tokenizer = load_model(folder).tokenizer
    short = [len(tokenizer.ids(line["question"])) <= 22 for line in lines]
    assert 0 < short.count(False) < len(lines) / 4  # evaluate cuts these for the model; the endpoint refuses them
    assert [line["outcome"] != "no answer" for line in lines] == short
    assert [even(line["reply"]) for line, fits in zip(lines, short) if fits] == [
        one for one, fits in zip(want, short) if fits
    ]
    assert results.details["vqa"]["usage"]["requests"] == short.count(True)
