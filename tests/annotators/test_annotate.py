"""The annotate stage: waves, quarantine, and runs that survive a kill with the same bytes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from knowlip.annotators import waves
from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.dataset import Dataset
from knowlip.language.dimensions import DIMENSIONS
from tests.annotators.openai_stub import Reply, Stub, answer, completion, failure, user_text
from tests.annotators.tiny_dataset import build_tiny_dataset

COLUMNS = [
    "tile_id",
    "revision",
    "parent",
    "run",
    "instruction_set",
    "slot",
    "dimension",
    "text",
    "annotator",
    "confidence",
    "evidence",
    "marks",
    "decision",
    "delta_itc",
    "delta_itm",
    "margin",
    "reason",
]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "word")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """1 large, 4 medium and 16 small tiles; every tile lies at a longitude of its own."""
    return build_tiny_dataset(tmp_path / "dataset")


def place_of(body: dict[str, Any]) -> str:
    found = re.search(r"lat\]: \[([-\d.]+), ([-\d.]+)\]", user_text(body))
    assert found
    return f"{found[1]}/{found[2]}"


def talks_of_its_place(body: dict[str, Any], number: int) -> Reply:
    """Every text names the coordinates it was asked about, so that a text can be traced to its request."""
    return completion(answer("terrain", Terrain=f"plain at {place_of(body)}"))


def asks(dataset: Path, stub: Stub, **changes: Any) -> AnnotateConfig:
    options = OpenAIOptions(backoff_s=0.001, retries=2, image_side=64)
    return AnnotateConfig(dataset, "openai", "stub", stub.url, **{"concurrency": 3, "openai": options, **changes})


def test_first_name_of_measured_means_the_same(dataset: Path) -> None:
    assert AnnotateConfig(dataset, "rules") == AnnotateConfig(dataset, "measured")


def tile_places(dataset: Path) -> dict[str, str]:
    tiles = Dataset(dataset).tiles()
    return {row.tile_id: f"{row.lon:.4f}/{row.lat:.4f}" for row in tiles.itertuples()}


def test_measured_annotates_every_tile(dataset: Path) -> None:
    result = annotate(AnnotateConfig(dataset, workers=1))
    tiles = Dataset(dataset).tiles()
    texts = Dataset(dataset).texts()
    assert result["tiles"] == result["annotated"] == len(tiles) == 21
    assert result["quarantined"] == result["resumed"] == 0
    assert sum(result["instruction_sets"].values()) == 21
    assert result["tiles_per_second"] > 0
    assert list(texts.columns) == COLUMNS
    assert list(texts["tile_id"]) == [tile for tile in tiles["tile_id"] for _ in range(8)]
    for _, rows in texts.groupby("tile_id"):
        assert tuple(rows["dimension"]) == DIMENSIONS[rows["instruction_set"].iloc[0]]
        assert list(rows["slot"]) == list(range(1, 9))
    assert set(texts["decision"]) == {"annotated"}
    assert set(texts["annotator"]) == {"measured"}
    assert texts["confidence"].between(0, 1).all()
    assert (texts["text"].str.len() > 0).all()


def test_processes_write_what_one_process_writes(dataset: Path, tmp_path: Path) -> None:
    other = build_tiny_dataset(tmp_path / "other")
    annotate(AnnotateConfig(dataset, workers=1))
    annotate(AnnotateConfig(other, workers=2))
    assert (dataset / "texts.parquet").read_bytes() == (other / "texts.parquet").read_bytes()


def test_parts_of_any_size_give_the_same_rows_parents_and_texts(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = build_tiny_dataset(tmp_path / "other")
    with Stub(talks_of_its_place) as stub:
        annotate(asks(dataset, stub))
    monkeypatch.setattr(waves, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr(waves, "_CHUNKS_KEPT", 1)
    monkeypatch.setattr(waves, "_TILES_AT_ONCE", 4)
    with Stub(talks_of_its_place) as again:
        result = annotate(asks(other, again))
    assert result["annotated"] == 21
    assert sorted(map(user_text, stub.bodies)) == sorted(map(user_text, again.bodies))
    pd.testing.assert_frame_equal(Dataset(dataset).texts(), Dataset(other).texts())
    assert pq.ParquetFile(other / "texts.parquet").num_row_groups == 6
    for shard in (dataset / "shards").glob("*.tar"):
        assert shard.read_bytes() == (other / "shards" / shard.name).read_bytes()


def test_waves_pass_the_direct_parents_text_only(dataset: Path) -> None:
    with Stub(talks_of_its_place) as stub:
        result = annotate(asks(dataset, stub))
        assert result["usage"]["requests"] == len(stub.bodies) == 21
    assert result["instruction_sets"] == {"terrain": 21}
    places, parents = tile_places(dataset), dict(Dataset(dataset).tiles()[["tile_id", "parent_id"]].to_numpy().tolist())
    told = {place_of(body): re.findall(r"plain at (\S+)", user_text(body)) for body in stub.bodies}
    assert told == {places[tile]: [places[parent]] if parent else [] for tile, parent in parents.items()}
    order = [user_text(body).split()[3] for body in stub.bodies]  # "This is the large tile of ..."
    assert order == ["large"] + ["medium"] * 4 + ["small"] * 16
    texts = Dataset(dataset).texts().query("slot == 1").set_index("tile_id")["text"]
    assert texts.to_dict() == {tile: f"plain at {place}" for tile, place in places.items()}


def test_shards_carry_the_texts(dataset: Path) -> None:
    import tarfile

    with Stub(talks_of_its_place) as stub:
        annotate(asks(dataset, stub))
    found = {}
    for shard in (dataset / "shards").glob("*.tar"):
        with tarfile.open(shard) as tar:
            for member in tar.getmembers():
                if member.name.endswith(".txt"):
                    found[Path(member.name).stem] = tar.extractfile(member).read().decode()  # type: ignore[union-attr]
    places = tile_places(dataset)
    assert found.keys() == places.keys()
    for tile, text in found.items():
        assert text.startswith(f"Terrain: plain at {places[tile]}. Functionality: statement about functionality. ")


def test_failed_tiles_are_quarantined_and_can_be_asked_again(dataset: Path) -> None:
    places = tile_places(dataset)
    medium = Dataset(dataset).tiles(scale="medium")["tile_id"].tolist()
    bad = {places[medium[0]]: completion(None, refusal="no"), places[medium[1]]: failure(500, "down")}

    def reply(body: dict[str, Any], number: int) -> Reply:
        return bad.get(place_of(body)) or talks_of_its_place(body, number)

    with Stub(reply) as stub:
        result = annotate(asks(dataset, stub))
        assert result["quarantined"] == 2
        assert result["annotated"] == 19
        assert result["quarantine_reasons"] == {"refused: no": 1, "HTTP 500: down, after 2 retries": 1}
        children = Dataset(dataset).tiles().query("parent_id == @medium[0]")["tile_id"]
        asked = {place_of(body): user_text(body) for body in stub.bodies}
        assert all("one scale up" not in asked[places[child]] for child in children)  # no parent, no stand-in
        paid = len(stub.bodies)
        assert annotate(asks(dataset, stub))["resumed"] == 21
        assert len(stub.bodies) == paid
        del bad[places[medium[1]]]
        result = annotate(asks(dataset, stub, retry_quarantined=True))
        assert result["quarantine_reasons"] == {"refused: no": 1}
        assert len(stub.bodies) == paid + 1  # the refusal is not repeated
    texts = Dataset(dataset).texts()
    assert set(texts["tile_id"]) == set(places) - {medium[0]}
    assert set(texts.loc[texts["tile_id"] == medium[1], "revision"]) == {1}  # revision 0 is never overwritten


def test_a_run_that_gets_nowhere_says_why_and_leaves_nothing(dataset: Path) -> None:
    with (
        Stub(lambda body, number: failure(500, "down")) as stub,
        pytest.raises(ValueError, match=r"Not one .* HTTP 500: down"),
    ):
        annotate(asks(dataset, stub))
    assert not (dataset / "texts.parquet").exists()
    assert not (dataset / ".annotate" / "settings.json").exists()  # other settings may follow
    with Stub(talks_of_its_place) as stub:
        assert annotate(asks(dataset, stub))["annotated"] == 21


def test_a_wrong_name_of_the_model_leaves_nothing_behind(dataset: Path) -> None:
    with Stub(talks_of_its_place) as stub:
        with pytest.raises(ValueError, match="does not serve the model 'other'"):
            annotate(replace(asks(dataset, stub), model="other"))
        assert annotate(asks(dataset, stub))["annotated"] == 21


def test_endpoint_that_goes_away_stops_the_run_and_loses_nothing(dataset: Path) -> None:
    def reply(body: dict[str, Any], number: int) -> Reply:
        return failure(401) if number >= 9 else talks_of_its_place(body, number)

    with Stub(reply) as stub, pytest.raises(ValueError, match="refuses the key"):
        annotate(asks(dataset, stub))
    assert not (dataset / "texts.parquet").exists()
    with Stub(talks_of_its_place) as stub:
        result = annotate(asks(dataset, stub))
        assert len(stub.bodies) == 12
    assert result["annotated"] == 21


def test_other_settings_are_refused(dataset: Path) -> None:
    with Stub(talks_of_its_place) as stub:
        annotate(asks(dataset, stub))
        with pytest.raises(ValueError, match=r"other settings .*\(temperature\)"):
            annotate(asks(dataset, stub, openai=OpenAIOptions(temperature=0.7, image_side=64)))
        annotate(asks(dataset, stub, concurrency=1))  # patience and speed are no such settings
    with pytest.raises(ValueError, match="other settings"):
        annotate(AnnotateConfig(dataset))


def test_bad_configs_are_refused(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no annotator 'oracle'"):
        AnnotateConfig(dataset, annotator="oracle")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name of a model"):
        AnnotateConfig(dataset, annotator="openai")
    with pytest.raises(ValueError, match="workers"):
        AnnotateConfig(dataset, workers=0)
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / "nothing"))):
        annotate(AnnotateConfig(tmp_path / "nothing"))
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ValueError, match="OPENAI_API_KEY"):
        annotate(AnnotateConfig(dataset, "openai", "m"))


def test_texts_open_without_us(dataset: Path) -> None:
    annotate(AnnotateConfig(dataset, workers=1))
    frame = pd.read_parquet(dataset / "texts.parquet")
    assert list(frame.columns) == COLUMNS
    assert (frame["revision"] == 0).all()
    assert not frame.isna().any().any()
