"""`knowlip scio screen` and `reconstruct`: the decisions of the parts they are made of, however the work is spread."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from knowlip.cli import main
from knowlip.dataset import Dataset
from knowlip.dataset.figures import figures_path
from knowlip.dataset.texts import revision_path
from knowlip.dataset.verify import VerifyConfig, verify_dataset
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig, save_model
from knowlip.scio.commands import scio_reconstruct, scio_screen
from knowlip.scio.job import PassConfig, PassPlan
from knowlip.scio.passes import ScioConfig
from knowlip.scio.scorer_model import scoring_model
from knowlip.tasks.pretrain import pretrain
from knowlip.training.corpus import Corpus
from knowlip.training.resume import read_checkpoint
from tests.jobs.local_ray import local_cluster
from tests.training.runs import annotated, dataset, run_processes, tiny

__all__ = ["annotated", "dataset"]
SETTINGS = ScioConfig(
    evidence="deltas", threshold=0.0, calibration_tiles=16, max_new_tokens=6, tiles_at_once=4, negatives=8
)


@pytest.fixture(scope="module")
def model(annotated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model without knowledge, but with opinions."""
    torch.manual_seed(0)
    texts = Dataset(annotated).texts()
    tokenizer = TextTokenizer.train((texts["dimension"] + ": " + texts["text"]).to_list(), 400)
    vision = VisionConfig("vit_tiny_patch16_224", 16, {"patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2})
    text = TextConfig(len(tokenizer), width=32, layers=1, heads=2, mlp_width=32, max_length=200, dropout=0.0)
    model = KnowLIP(ModelConfig(vision, text, embed_dim=8), tokenizer).eval()
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.3)
    folder: Path = tmp_path_factory.mktemp("model") / "model"
    save_model(model, folder, {})
    return folder


def settings(dataset: Path, model: Path, **changes: object) -> PassConfig:
    return PassConfig(dataset, model, **{"scio": SETTINGS, "chunk": 4, "device": "cpu", **changes})  # type: ignore[arg-type]


def files(dataset: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((dataset / "revisions").iterdir())}


@pytest.fixture(scope="module")
def done(annotated: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Screened and reconstructed in one process."""
    folder = Path(shutil.copytree(annotated, tmp_path_factory.mktemp("done") / "dataset"))
    assert scio_screen(settings(folder, model))["revision"] == 1
    assert scio_reconstruct(settings(folder, model))["revision"] == 2
    return folder


def test_screening_decides_by_the_evidence_of_the_whole(done: Path, model: Path) -> None:
    """Chunks change nothing: one pass over all tiles gives the same figures up to rounding."""
    from knowlip.scio.evidence import evidence
    from knowlip.scio.thresholds import NoiseModel

    job = PassPlan("screen", settings(done, model), 0).open()
    rows = Dataset(done).texts(1)
    figures = json.loads(figures_path(done, 1).read_text())
    noise = NoiseModel(**figures["noise_model"])
    whole = evidence(job.scorer, job.corpus.texts, kinds=("itc", "itm"))
    itc = rows["delta_itc"].to_numpy().reshape(-1, 8)
    np.testing.assert_allclose(itc, whole.itc, rtol=1e-4, atol=1e-5)
    assert figures["sub_texts"] == len(rows) == 168
    assert figures["screened"] == (rows["decision"] == "screened").sum()
    assert 0 < figures["screened"] < len(rows)
    assert (rows["margin"] == noise.threshold).all()
    both = (whole.itc < 0) & (whole.itm > 0)
    assert ((rows["decision"] == "screened").to_numpy().reshape(-1, 8) == both).all()
    assert figures["settings"]["model"] == job.model


def test_reconstruction_judges_what_screening_called_noise(done: Path) -> None:
    screened = Dataset(done).texts(1).query("decision == 'screened'")[["tile_id", "slot"]]
    judged = Dataset(done).texts(2).query("revision == 2")
    assert set(map(tuple, judged[["tile_id", "slot"]].to_numpy())) == set(map(tuple, screened.to_numpy()))
    assert set(judged["decision"]) <= {"rewritten", "rejected", "kept"}
    assert (judged["reason"] != "").all()
    assert verify_dataset(VerifyConfig(done))["revisions"] == [0, 1, 2]


def test_the_papers_method_runs_over_a_data_set(done: Path, dataset: Path, model: Path) -> None:
    """Its tests are those of the calibrated differences at threshold 0, but for their scale."""
    paper = ScioConfig(method="paper", max_new_tokens=6, tiles_at_once=4, negatives=8)
    screened = scio_screen(settings(dataset, model, scio=paper))
    rewritten = scio_reconstruct(settings(dataset, model, scio=paper))
    assert Dataset(dataset).texts(1)["decision"].equals(Dataset(done).texts(1)["decision"])
    assert screened["threshold"] == 0
    assert rewritten["candidates"] == screened["screened"] == rewritten["rewritten"] + rewritten["rejected"]
    assert verify_dataset(VerifyConfig(dataset))["revisions"] == [0, 1, 2]


def test_truth_teaches_where_tiles_have_it(dataset: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learning = replace(SETTINGS, errors="truth", evidence="nll", threshold=0.2)
    with pytest.raises(ValueError, match="no tile that is judged has any"):
        scio_screen(settings(dataset, model, scio=learning))
    monkeypatch.setattr(Corpus, "truths", property(lambda corpus: dict.fromkeys(corpus.tile_ids)))
    monkeypatch.setattr(Corpus, "verdict", lambda corpus, tile, slot, words: (tile + slot) % 4 > 0)
    with pytest.raises(ValueError, match="too few"):
        scio_screen(settings(dataset, model, scio=replace(learning, calibration_tiles=1)))
    screened = scio_screen(settings(dataset, model, scio=learning))
    assert screened["injected"]["learned_from"] == "truth"
    assert [*screened["injected"]["kinds"]] == ["natural"]
    assert screened["injected"]["base_rate"] == pytest.approx(0.25, abs=0.05)
    assert scio_reconstruct(settings(dataset, model, scio=learning))["injected"]["learned_from"] == "truth"


def test_the_same_command_again_finds_its_revision(done: Path, model: Path) -> None:
    before = files(done)
    again = scio_reconstruct(settings(done, model))
    assert (again["revision"], again["parent"]) == (2, 1)
    assert scio_screen(settings(done, model, revision=0))["revision"] == 1
    assert files(done) == before


def test_screening_again_after_reconstruction_is_a_new_pass(done: Path, model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "dataset"))
    for _ in range(2):
        result = scio_screen(settings(folder, model))
        assert (result["revision"], result["parent"]) == (3, 2)


def test_two_ranks_and_two_processes_write_the_same_bytes(done: Path, dataset: Path, model: Path) -> None:
    assert run_processes(scio_screen, 2, settings(dataset, model)) == [0, 0]
    scio_reconstruct(settings(dataset, model, processes=2))
    assert files(dataset) == files(done)
    assert [path.name for path in (dataset / ".scio").iterdir()] == ["cache"]


def test_killed_between_revision_and_figures_is_finished(done: Path, model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(done, tmp_path / "dataset"))
    before = files(folder)
    figures_path(folder, 2).unlink()
    assert scio_reconstruct(settings(folder, model))["revision"] == 2
    assert files(folder) == before


def test_a_ray_cluster_writes_the_same_bytes(done: Path, dataset: Path, model: Path) -> None:
    scio_screen(settings(dataset, model, ray=local_cluster().address))
    assert revision_path(dataset, 1).read_bytes() == revision_path(done, 1).read_bytes()


def test_a_run_is_judged_by_its_momentum_model(dataset: Path, tmp_path: Path) -> None:
    config = tiny(dataset, tmp_path / "run", stage_steps=(3, 0, 0), loggers=())
    pretrain(config)
    state = read_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert state is not None
    model = scoring_model(tmp_path / "run", "cpu")
    ema = {name[4:]: value for name, value in state["weights"].items() if name.startswith("ema.")}
    for name, weight in ema.items():
        assert torch.equal(model.state_dict()[name], weight)
    own = scoring_model(tmp_path / "run" / "model", "cpu")
    assert not torch.equal(own.state_dict()["temp"], model.state_dict()["temp"]) or any(
        not torch.equal(own.state_dict()[name], weight) for name, weight in ema.items()
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--checkpoint", "nowhere"], "nowhere"),
        (["--checkpoint", "MODEL", "--revision", "7"], "no text revision 7"),
        (["--checkpoint", "MODEL", "--split", "test"], "has 0 annotated tiles to judge"),
        (["--checkpoint", "MODEL", "--chunk", "0"], "must be 1 or more"),
        (["--checkpoint", "MODEL", "--scio.precision", "2"], "scio.precision"),
        (["--checkpoint", "MODEL", "--scio.negatives", "-3"], "scio.negatives must be at least 1"),
        (["--checkpoint", "MODEL", "--scio.threshold", "nan"], "scio.threshold"),
        (["--checkpoint", "MODEL", "--scio.margin", "0.2"], "scio.margin is now called scio.threshold"),
        (["--checkpoint", "MODEL", "--scio.method", "paper", "--scio.precision", "0.5"], "of scio.method calibrated"),
        (["--checkpoint", "MODEL", "--ray", "auto", "--processes", "2"], "not both"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    dataset: Path, model: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    given = [str(model) if argument == "MODEL" else argument for argument in arguments]
    assert main(["scio", "screen", str(dataset), "--device", "cpu", *given]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence in said
    assert not (dataset / "revisions").exists()


def test_nothing_to_write_anew_is_no_error(dataset: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scio", "reconstruct", str(dataset), "--checkpoint", str(model), "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"revision": 0, "parent": 0, "run": "", "candidates": 0}
