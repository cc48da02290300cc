"""The whole way in one command: simulated scenes, real scenes, a second run, and a run that was killed."""

import json
import multiprocessing
import os
import re
import signal
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from knowlip.base.files import file_sha256
from knowlip.base.rows import read_results
from knowlip.cli import main
from knowlip.dataset import Dataset, verify
from knowlip.pipeline import DemoConfig, _check_splits, demo

DATA = Path(os.environ.get("KNOWLIP_DATA", Path(__file__).parents[2] / "shared" / "data"))
REAL = [DATA / name for name in ("s1-geotiff", "sen1floods11", "s1-losangeles-tiles")]

TINY = [
    "annotate.workers=1",
    "build.workers=1",
    "pretrain.model.vision.image_size=64",
    "pretrain.model.vision.stem=16",
    "pretrain.model.vision.changes={patch_size: 2, embed_dim: 32, depth: 2}",
    "pretrain.model.text={width: 32, layers: 1, heads: 2, mlp_width: 64, max_length: 160}",
    "pretrain.model.embed_dim=16",
    "pretrain.model.vision.changes.num_heads=2",
    "pretrain.init={model: ''}",
    "pretrain.stage_steps=[6,3,3]",
    "pretrain.batch_size=8",
    "pretrain.warmup_steps=2",
    "pretrain.log_every=1",
    "pretrain.checkpoint_every=2",
    "pretrain.objectives.queue=64",
    # a threshold by hand: such a model finds no injected noise, and then nothing would be screened
    "pretrain.scio={calibration_tiles: 8, max_new_tokens: 4, evidence: deltas, threshold: 0.2}",
    "pretrain.accelerator=cpu",
    "finetune.steps=4",
    "finetune.batch_size=8",
    "finetune.accelerator=cpu",
    "evaluate.limits={tiles: 12, rerank_queries: 4, questions_per_type: 4, captions: 2, max_new_tokens: 16}",
    "evaluate.limits.examples=2",
    "report.samples=2",
]
"""A model and numbers of steps as small as they get."""
SIMULATED = [
    "simulate.cities=3",
    "simulate.sensors=[sim-c]",
    "simulate.scene_size_m={sim-c: 1024}",
    "simulate.workers=1",
    "simulate.themes=[port, airport, town]",
    "build.windows_m=[512, 256, 128]",
    "build.tile_px=96",
]
QUESTIONS = ("count", "recognition", "position", "main_landform", "all_landforms", "regional_landform")


def unexplained(value: Any, path: str = "", reason: bool = False) -> list[str]:
    """Nulls of the metrics that have no `reason` beside or above them (nor a flag rate of 0, which is one)."""
    if isinstance(value, dict):
        reason = reason or bool(value.get("reason")) or value.get("flag_rate") == 0
        return [found for key, item in value.items() for found in unexplained(item, f"{path}.{key}", reason)]
    return [path] if value is None and not reason else []


class Loads(HTMLParser):
    """Addresses that a browser would fetch to show the page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        fetching = {"src", "srcset", "data", "poster", "xlink:href"} | (
            {"href"} if tag in ("link", "image", "use") else set()
        )
        self.addresses += [value or "" for name, value in attributes if name in fetching]


def assert_self_contained(report: Path) -> None:
    text = report.read_text()
    page = Loads()
    page.feed(text)
    assert page.addresses, "the report has no pictures"
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not re.search(r"@import|url\(\s*['\"]?(?:https?:)?//|\bfetch\(|XMLHttpRequest|import\(", text)
    assert 20_000 < report.stat().st_size < 8_000_000


def run_demo(out: Path, *changes: str, scenes: tuple[Path, ...] = ()) -> int:
    given = ["--scenes", *map(str, scenes)] if scenes else []
    return main(["demo", "--out", str(out), *given, "--json", "--set", *TINY, *changes])


@pytest.mark.slow
def test_simulated_scenes_to_a_report_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "demo"
    assert run_demo(out, *SIMULATED) == 0
    printed, said = capsys.readouterr()
    metrics = json.loads((out / "metrics.json").read_text())
    assert json.loads(printed) == metrics
    for number, stage in enumerate(("simulate", "build", "annotate", "pretrain", "finetune", "evaluate", "report"), 1):
        assert f"[{number}/7] {stage}" in said
        assert metrics["seconds"][stage] >= 0
    assert said.rstrip().endswith(str(out / "report.html"))

    results = read_results(out / "metrics.json")
    found = {(row.task, row.metric): row for row in results.rows if row.encoder in ("pretrain", "finetune")}
    recall = {("retrieve", f"{way} R@{k}") for way in ("image to text", "text to image") for k in (1, 5, 10)}
    asked = {("vqa", f"{kind.replace('_', ' ')} accuracy") for kind in QUESTIONS}
    written = {("caption", name) for name in ("BLEU-4", "CIDEr", "true claims")}
    screened = {("screening", name) for name in ("precision", "recall", "AUROC", "true sub-texts")}
    assert recall | asked | written | screened <= found.keys()
    assert all(found[key].encoder == ("finetune" if key in asked else "pretrain") for key in recall | asked | written)
    assert all(row.floor is not None for row in found.values() if row.value is not None)
    teacher = {row.task for row in results.rows if row.encoder.startswith("annotator:")}
    assert teacher == {"vqa", "caption"}
    weights = {name: file_sha256(out / name / "model" / "model.safetensors") for name in ("pretrain", "finetune")}
    assert results.encoders == weights
    assert {"dataset_fingerprint", "blocks", "seed"} <= results.setup.keys()
    assert not unexplained(metrics["details"])
    assert found["retrieve", "image to text R@1"].n == 12
    assert 0 < metrics["details"]["screening"]["decisions"]["base_rate"] < 1
    assert metrics["seconds"].keys() == {"simulate", "build", "annotate", "pretrain", "finetune", "evaluate", "report"}
    assert_self_contained(out / "report.html")
    data = Dataset(out / "dataset")
    verify(out / "dataset")
    assert data.revisions() == [0, 1, 2]
    blocks = data.tiles().groupby("split")["block"].agg(set)
    assert not blocks["train"] & blocks["test"]
    assert not [path for path in out.rglob("*") if path.name.endswith((".part", ".old"))]

    kept = {path: path.read_bytes() for path in out.rglob("*") if path.suffix in (".tif", ".tar", ".parquet", ".pt")}
    weights = (out / "finetune" / "model" / "model.safetensors").read_bytes()
    log = (out / "pretrain" / "log.jsonl").read_bytes()
    assert run_demo(out, *SIMULATED) == 0
    again = json.loads(capsys.readouterr().out)
    for one in (metrics, again):
        del one["seconds"]
    assert again == metrics
    assert {path: path.read_bytes() for path in kept} == kept
    assert (out / "finetune" / "model" / "model.safetensors").read_bytes() == weights
    assert (out / "pretrain" / "log.jsonl").read_bytes() == log

    assert run_demo(out, *SIMULATED, "pretrain.seed=5") == 2
    assert "was made with seed = 0, now it is 5" in capsys.readouterr().err


def start(arguments: list[str]) -> int:
    """Run a command in a process of its own, quietly."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    raise SystemExit(main(arguments))


@pytest.mark.slow
def test_a_killed_demo_goes_on_with_the_same_command(tmp_path: Path) -> None:
    """Killed twice, while cutting tiles and while training, it ends with the weights and texts of an unbroken run."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["knowlip.tasks.pretrain", "knowlip.benchmark.evaluate", "knowlip.benchmark.report"])

    def process(out: Path) -> multiprocessing.process.BaseProcess:
        arguments = ["demo", "--out", str(out), "--set", *TINY, *SIMULATED]
        running = context.Process(target=start, args=(arguments,))
        running.start()
        return running

    whole = process(tmp_path / "whole" / "demo")
    whole.join()
    assert whole.exitcode == 0
    out = tmp_path / "killed" / "demo"
    for far_enough in (
        lambda: any((out / "dataset" / "scenes").glob("*.json")),
        lambda: (
            (out / "pretrain" / "log.jsonl").is_file() and (out / "pretrain" / "log.jsonl").read_text().count("\n") > 7
        ),
    ):
        running = process(out)
        while running.is_alive() and not far_enough():
            time.sleep(0.002)
        running.kill()
        running.join()
        assert running.exitcode == -signal.SIGKILL, "the demo ended before it could be killed"
        assert not (out / "metrics.json").exists()
    last = process(out)
    last.join()
    assert last.exitcode == 0
    for name in (
        "pretrain/model/model.safetensors",
        "finetune/model/model.safetensors",
        "dataset/index.parquet",
        "dataset/texts.parquet",
        "dataset/truth.parquet",
    ):
        assert (out / name).read_bytes() == (tmp_path / "whole" / "demo" / name).read_bytes(), name
    results = [json.loads((folder / "metrics.json").read_text()) for folder in (out, tmp_path / "whole" / "demo")]
    assert set(results[0].pop("seconds")) == set(results[1].pop("seconds"))
    assert results[0] == results[1]


@pytest.mark.slow
def test_real_scenes_of_three_archives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Sentinel-1 in dB and 8-bit, projected and in degrees, with nodata; the recipe is chosen by the resolution."""
    if missing := [str(folder) for folder in REAL if not folder.is_dir()]:
        pytest.skip(f"no real scenes: {', '.join(missing)} (set KNOWLIP_DATA to their folder)")
    out = tmp_path / "demo"
    changes = ("build.windows_m=[3840, 1920, 960]", "build.workers=2", "annotate.workers=2")
    assert run_demo(out, *changes, scenes=tuple(REAL)) == 1, "one scene holds no valid pixel"
    metrics = json.loads(capsys.readouterr().out)
    assert "simulate" not in metrics["seconds"]
    assert metrics["setup"]["left_out"] == ["build"]
    found = {(row["task"], row["metric"]): row for row in metrics["rows"]}
    assert found["screening", "precision"]["value"] is None
    assert found["screening", "true sub-texts"]["value"] is None
    assert not unexplained(metrics["details"])
    assert found["retrieve", "text to image R@1"]["n"] == 12
    assert {detail["source"] for detail in metrics["details"]["vqa"].values()} == {"annotator"}
    assert "agreement" in found["vqa", "mean accuracy"]["note"]
    assert_self_contained(out / "report.html")
    verify(out / "dataset")
    data = Dataset(out / "dataset")
    assert data.info["config"]["tile_px"] == 128, "the recipe for 10 m scenes was not chosen"
    tiles = data.tiles()
    assert {"Los Angeles", "Long Beach"} & set(tiles["city"]) or (tiles["country"] == "United States").any()
    assert tiles["country"].nunique() >= 5
    assert tiles["resolution_m"].between(8, 40).all()
    texts = data.texts(0)
    assert texts.groupby("tile_id").size().eq(8).all()
    assert set(texts["tile_id"]) == set(tiles["tile_id"])


def test_a_data_set_of_one_place_is_refused_before_training(tmp_path: Path) -> None:
    from tests.annotators.tiny_dataset import build_tiny_dataset

    folder = build_tiny_dataset(tmp_path / "dataset")
    with pytest.raises(
        ValueError, match=r"has no test tile, .* give scenes of more places, or a smaller block_km than 50"
    ):
        _check_splits(folder, 50.0)


def test_slips_in_late_stages_cost_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo(tmp_path / "demo", *SIMULATED, "report.samplez=3") == 2
    assert "ReportConfig: There is no setting samplez" in capsys.readouterr().err
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("annotate.dataset=elsewhere", "says where its stages read and write"),
        ("evaluate.model=mine", "says where its stages read and write"),
        ("simulate.seed=3", "simulate does not run here"),
    ],
)
def test_changes_that_would_be_overruled_are_refused(change: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"--set {change}: .*{why}"):
        demo(DemoConfig([tmp_path / "scene.tif"], "demo", tmp_path / "out", [change]))
    assert not (tmp_path / "out").exists()
