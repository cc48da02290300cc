"""Caption, ask and search with a model folder, through the command line and against the model itself."""

import json
import math
import shutil
from pathlib import Path

import geopandas
import numpy as np
import pytest
import torch
from PIL import Image

import knowlip
from knowlip.base.generation import GenerationConfig
from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.inference.ask import ask
from knowlip.inference.caption import caption
from knowlip.inference.images import read_image
from knowlip.inference.search import Hit
from knowlip.inference.search import search as search_tiles
from knowlip.inference.settings import AskConfig, CaptionConfig, SearchConfig
from knowlip.inference.written import UnfitQuestion, question_tokens
from knowlip.models import KnowLIP, default, load_model
from tests.annotators.tiny_dataset import build_tiny_dataset
from tests.inference.tiny_model import tiny_model
from tests.tiles.rasters import speckle, write_scene


def captions(model: Path, images: list[Path]) -> list[str]:
    return [image["caption"] for image in caption(CaptionConfig(images, model))]


def search(model: Path, dataset: Path, text: str, top: int) -> list[Hit]:
    return search_tiles(SearchConfig(dataset, text, model, top=top))["hits"]


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "model")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_dataset(tmp_path_factory.mktemp("data") / "dataset")


@pytest.fixture
def dataset(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "dataset"))


@pytest.fixture
def pictures(built: Path, tmp_path: Path) -> list[Path]:
    Image.fromarray(Dataset(built).image("l0")).save(tmp_path / "tile.png")
    return [tmp_path / "tile.png", write_scene(tmp_path / "scene.tif", speckle((60, 80)))]


def test_captions_are_what_the_model_writes_for_each_image(
    model_folder: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    texts = captions(model_folder, pictures)
    assert texts == [captions(model_folder, [path])[0] for path in pictures]  # the others in a batch change nothing
    assert main(["caption", *map(str, pictures), "--model", str(model_folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    for one in said:
        assert 0 < one.pop("probability") < one.pop("token_probability") < 1
    assert said == [
        {"image": str(path), "caption": text, "metres_per_pixel": metres}
        for path, text, metres in zip(pictures, texts, (None, read_image(pictures[1]).metres_per_pixel))
    ]
    assert main(["caption", str(pictures[0]), "--model", str(model_folder)]) == 0
    assert capsys.readouterr().out == f"{texts[0]}\n"


def test_the_model_folder_may_come_from_the_environment(
    model_folder: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KNOWLIP_MODEL", str(model_folder))
    assert main(["ask", str(pictures[1]), "How many ships are visible?", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert 0 <= answer.pop("probability") <= 1
    assert answer == {
        **{"kind": "count", "confidence": None, "refused": None, "reason": None},
        "image": str(pictures[1]),
        "question": "How many ships are visible?",
        "answer": ask(AskConfig(pictures[1], "How many ships are visible?", model_folder))["answer"],
        "metres_per_pixel": read_image(pictures[1]).metres_per_pixel,
    }


def test_without_a_model_the_one_that_comes_along_answers_and_says_so(
    model_folder: Path,
    dataset: Path,
    pictures: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("KNOWLIP_MODEL", raising=False)
    monkeypatch.setattr(default, "files", lambda _: tmp_path)
    lines = [
        ["ask", str(pictures[1]), "How many ships are visible?"],
        ["caption", str(pictures[1])],
        ["search", str(dataset), "ships", "--top", "3"],
    ]
    for line in lines:  # a source tree that holds none
        assert main(line) == 2
        assert capsys.readouterr().err.endswith("`knowlip demo` trains one.\n")
    with pytest.raises(ValueError, match="comes without a model"):
        knowlip.load()
    shutil.copytree(model_folder, tmp_path / "shipped")
    for line in lines:
        assert main([*line, "--json"]) == 0
        found, said = capsys.readouterr()
        assert main([*line, "--json", "--model", str(model_folder)]) == 0
        assert capsys.readouterr().out == found
        told = [text for text in said.splitlines() if "model that comes with KnowLIP answers" in text]
        assert len(told) == 1
        assert told[0].endswith(str(tmp_path / "shipped" / "README.md"))
    text = ["three ships"]
    assert torch.equal(knowlip.load().encode_texts(text), load_model(model_folder).encode_texts(text))


def test_what_is_not_known_of_an_image_is_said(
    tmp_path: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The size of its pixels, and ground that the training never showed at once."""
    taught = str(tiny_model(tmp_path / "taught", card={"windows_m": [1024.0, 256.0]}))

    def said(*flags: str, image: Path = pictures[0]) -> str:
        assert main(["ask", str(image), "water", "--model", taught, *flags]) == 0
        return capsys.readouterr().err

    side = max(Image.open(pictures[0]).size)
    assert "tile.png does not say how large a pixel is on the ground: give --metres_per_pixel" in said()
    assert said("--metres_per_pixel", f"{500 / side}") == ""
    assert "tile.png shows 5000 m of ground, the model was taught on windows of 256 to 1024 m" in said(
        "--metres-per-pixel", f"{5000 / side}"
    )
    assert "does not say" not in said(image=pictures[1])
    long = tmp_path / "long.png"
    Image.linear_gradient("L").resize((80, 50)).save(long)
    assert "long.png is 80 x 50 px and squeezed into a square" in said("--metres_per_pixel", "6", image=long)
    assert main(["caption", str(pictures[0]), str(long), "--model", taught]) == 0
    assert "2 images do not say" in capsys.readouterr().err
    assert main(["ask", str(pictures[0]), "how many?", "--model", taught, "--metres_per_pixel", "0"]) == 2
    assert "--metres_per_pixel is 0" in capsys.readouterr().err


def test_the_model_is_told_the_width_on_the_ground(
    model_folder: Path, dataset: Path, pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In metres, of tiles as the index says; NaN where nobody knows it."""
    told: list[float] = []
    original = KnowLIP.encode_images

    def listening(self: KnowLIP, pixels: torch.Tensor, width_m_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        told.extend(width_m_B.tolist())
        return original(self, pixels, width_m_B)

    monkeypatch.setattr(KnowLIP, "encode_images", listening)
    side = max(Image.open(pictures[0]).size)
    ask(AskConfig(pictures[0], "how many?", model_folder, metres_per_pixel=2.0))
    ask(AskConfig(pictures[0], "how many?", model_folder))
    ask(AskConfig(pictures[1], "how many?", model_folder))
    assert told[0] == 2.0 * side
    assert told[1] != told[1]
    metres = read_image(pictures[1]).metres_per_pixel
    assert metres is not None
    assert told[2] == pytest.approx(metres * (60 * 80) ** 0.5)
    told.clear()
    search(model_folder, dataset, "ships", top=3)
    tiles = Dataset(dataset).tiles()
    assert told[: len(tiles)] == pytest.approx(tiles["window_m"].to_list(), rel=0.02)


def test_questions_that_the_model_cannot_read_are_told(
    model_folder: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["ask", str(pictures[0]), "--model", str(model_folder), "--metres_per_pixel", "3"]
    assert main([*line, "water " * 22]) == 0
    assert main([*line, "water " * 23]) == 2
    assert "The question has 23 tokens and the model reads 22" in capsys.readouterr().err
    assert main([*line, "water \u732b \u72ac"]) == 0
    assert "does not know 2 of the words" in capsys.readouterr().err


def test_evidence_is_drawn_and_kept_as_numbers(
    tmp_path: Path, model_folder: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["ask", str(pictures[1]), "water", "--model", str(model_folder), "--device", "cpu"]
    for by in ("gradient", "attention"):
        drawn = tmp_path / f"{by}.png"
        assert main([*line, "--evidence", str(drawn), "--evidence_of", "ships", "--evidence_by", by, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)["evidence"]
        box, degrees = found.pop("box"), found.pop("box_lonlat")
        assert 0 <= box[0] < box[2] <= 80
        assert 0 <= box[1] < box[3] <= 60
        assert degrees[0] < degrees[2]
        assert degrees[1] < degrees[3]
        assert found == {"of": "ships", "by": by, "picture": str(drawn), "array": str(drawn.with_suffix(".npy"))}
        heat = np.load(drawn.with_suffix(".npy"))
        shape = read_image(pictures[1]).pixels.shape
        assert heat.shape == shape
        assert heat.dtype == np.float32
        assert 0 <= heat.min() < heat.max() <= 1
        with Image.open(drawn) as picture:
            assert picture.mode == "RGB"
            assert (picture.height % shape[0], picture.width % shape[1]) == (0, 0)
    assert main([*line, "--evidence", str(tmp_path / "a.jpg")]) == 2
    assert "ends in .png" in capsys.readouterr().err
    assert main([*line, "--evidence_of", "ships"]) == 2
    assert "belongs to --evidence" in capsys.readouterr().err


def test_evidence_is_not_written_over_what_is_another_s(
    tmp_path: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "mine.png"
    image.write_bytes(pictures[1].read_bytes())
    linked = tmp_path / "link.png"
    linked.symlink_to(image)
    (tmp_path / "array.npy").write_bytes(b"mine")
    for asked, drawn, told in (
        (image, image, "over the image"),
        (image, tmp_path / "x" / ".." / "mine.png", "over the image"),
        (image, linked, "over the image"),
        (tmp_path / "array.npy", tmp_path / "array.png", "over the image"),
        (image, tmp_path / "array.png", "which is another's"),
    ):
        assert main(["ask", str(asked), "water", "--evidence", str(drawn)]) == 2
        assert told in capsys.readouterr().err
    assert image.read_bytes() == pictures[1].read_bytes()
    assert (tmp_path / "array.npy").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("Count: [MASK] ships [MASK]", "several [MASK]"),
        ("What is it? [SEP] [DEC] x", "has [SEP]"),
        ("[PAD]", "has [PAD]"),
        ("[CLS] water", "has [CLS]"),
        ("water [ENC]", "has [ENC]"),
    ],
)
def test_questions_that_would_be_read_as_others_are_refused(model_folder: Path, question: str, told: str) -> None:
    model = load_model(model_folder)
    with pytest.raises(UnfitQuestion) as found:
        question_tokens(model, question)
    assert told in str(found.value)
    assert question_tokens(model, "Count: [MASK] ships") > 0


def test_settings_of_generation_come_from_flags(
    model_folder: Path, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Beams and their alternatives are those of the model itself, and every number counts."""
    line = ["caption", str(pictures[0]), "--model", str(model_folder), "--device", "cpu"]
    flags = ["--generation.beams", "3", "--generation.num=2", "--generation.max-new-tokens", "6"]
    assert main([*line, *flags, "--generation.early-stop", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)[0]
    generation = GenerationConfig(max_new_tokens=6, beams=3, num=2, early_stop=True)
    want = caption(CaptionConfig(pictures[:1], model_folder, generation=generation))[0]
    assert found == want
    assert len(found["all"]) == 2
    assert found["caption"] == found["all"][0]["text"]
    assert main([*line, *flags]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    ask_line = ["ask", str(pictures[0]), "how many?", "--model", str(model_folder)]
    assert main([*ask_line, "--generation.temperature", "1.0", "--generation.num", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    generation = GenerationConfig(max_new_tokens=32, temperature=1.0, num=3)
    assert found == ask(AskConfig(pictures[0], "how many?", model_folder, generation=generation))
    assert len(found["all"]) == 3


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [(["--generation.beams", "0"], "beams must be at least 1"), (["--generation.num", "2"], "num must not exceed")],
)
def test_wrong_settings_of_generation_are_one_sentence(
    model_folder: Path, pictures: list[Path], flags: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", str(pictures[0]), "why?", "--model", str(model_folder), *flags]) == 2
    assert sentence in capsys.readouterr().err


def test_hits_are_in_order_and_carry_their_tile(model_folder: Path, dataset: Path) -> None:
    hits = search(model_folder, dataset, "three ships", top=5)
    assert len(hits) == len({hit["tile_id"] for hit in hits}) == 5
    data, model = Dataset(dataset), load_model(model_folder)
    odds = [hit["match"] / (1 - hit["match"]) for hit in hits]
    scores = [math.log(odd) + hit["similarity"] / model.temp.item() for hit, odd in zip(hits, odds)]
    assert scores == sorted(scores, reverse=True)
    row = data.tiles().set_index("tile_id").loc[hits[0]["tile_id"]]
    assert (hits[0]["lon"], hits[0]["scale"], hits[0]["city"]) == (row["lon"], row["scale"], "Delft")
    with torch.inference_mode():
        _, image = model.encode_images(model.prepare([data.image(hits[0]["tile_id"])]))
    expected = float((image @ model.encode_texts(["three ships"]).T)[0, 0])
    assert hits[0]["similarity"] == pytest.approx(expected, abs=1e-5)


def test_the_best_tile_comes_first(model_folder: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a model that sees nothing but brightness, the brightest tiles come first when one asks for them."""

    def by_brightness(
        self: KnowLIP, pixels: torch.Tensor, width_m_B: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        angle = pixels.mean((1, 2, 3))
        feature = torch.zeros(len(pixels), 16)
        feature[:, 0], feature[:, 1] = torch.sin(angle), torch.cos(angle)
        return pixels.flatten(1)[:, None], feature

    def bright(self: KnowLIP, texts: list[str]) -> torch.Tensor:
        return torch.eye(16)[:1].repeat(len(texts), 1)

    monkeypatch.setattr(KnowLIP, "encode_images", by_brightness)
    monkeypatch.setattr(KnowLIP, "encode_texts", bright)
    monkeypatch.setattr(KnowLIP, "match", lambda self, tokens, texts: torch.zeros(len(texts)))
    data, model = Dataset(dataset), load_model(model_folder)
    tile_ids = data.tiles()["tile_id"].to_list()
    brightness = model.prepare(list(data.images(tile_ids))).mean((1, 2, 3)).numpy()
    hits = search(model_folder, dataset, "bright", top=6)
    assert [hit["tile_id"] for hit in hits] == [tile_ids[i] for i in np.argsort(-brightness)[:6]]


def test_embeddings_are_kept_by_model_and_renewed_when_damaged(
    model_folder: Path, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    original = KnowLIP.encode_images

    def counting(self: KnowLIP, pixels: torch.Tensor, width_m_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        encoded.append(len(pixels))
        return original(self, pixels, width_m_B)

    monkeypatch.setattr(KnowLIP, "encode_images", counting)
    first = search(model_folder, dataset, "water", top=3)
    assert sum(encoded) == 21 + 21  # all tiles once, then the candidates with their tokens
    encoded.clear()
    assert search(model_folder, dataset, "water", top=3) == first
    assert sum(encoded) == 21
    other = tiny_model(tmp_path / "other", seed=1)
    encoded.clear()
    second = search(other, dataset, "water", top=3)
    assert sum(encoded) == 42
    assert [hit["similarity"] for hit in second] != [hit["similarity"] for hit in first]
    caches = sorted((dataset / "embeddings").glob("*.npy"))
    assert len(caches) == 2
    for cache in caches:
        cache.write_bytes(cache.read_bytes()[:200])
    assert search(model_folder, dataset, "water", top=3) == first


def test_search_works_where_nothing_can_be_written(model_folder: Path, dataset: Path) -> None:
    expected = search(model_folder, dataset, "water", top=3)
    shutil.rmtree(dataset / "embeddings")
    (dataset / "embeddings").write_text("in the way")
    assert search(model_folder, dataset, "water", top=3) == expected


def test_footprints_open_in_geographic_tools(
    model_folder: Path, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "hits" / "ships.geojson"
    arguments = ["search", str(dataset), "ships", "--model", str(model_folder), "--top", "4", "--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    frame = geopandas.read_file(out)
    assert frame.crs == "EPSG:4326"
    assert frame["tile_id"].to_list() == [hit["tile_id"] for hit in printed["hits"]]
    index = Dataset(dataset).index.set_index("tile_id")
    for tile_id, shape in zip(frame["tile_id"], frame.geometry):
        assert shape.equals(index.geometry[tile_id])
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines[1:]] == frame["tile_id"].to_list()


def test_more_than_there_are(model_folder: Path, dataset: Path) -> None:
    assert len(search(model_folder, dataset, "ships", top=500)) == 21


@pytest.mark.parametrize(("text", "top", "sentence"), [(" ", 3, "empty"), ("ships", 0, "at least 1")])
def test_empty_wishes_are_refused(model_folder: Path, dataset: Path, text: str, top: int, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        search(model_folder, dataset, text, top)


@pytest.mark.parametrize("level", [0, 7, 255])
def test_what_shows_nothing_is_no_image(level: int, tmp_path: Path) -> None:
    """A model answers about a black picture as about any other."""
    folder, path = tiny_model(tmp_path / "model"), tmp_path / "flat.png"
    Image.fromarray(np.full((64, 64), level, np.uint8)).save(path)
    with pytest.raises(ValueError, match="shows nothing"):
        ask(AskConfig(path, "How many ships are visible?", folder, device="cpu"))
