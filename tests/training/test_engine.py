"""The engine against plain PyTorch: clipping, accumulation, precision, what is refused, what stops a run."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from knowlip.tasks.pretrain import pretrain
from knowlip.training.engine import Engine, EngineConfig, check_engine, clip_gradients, decay_groups
from knowlip.training.health import FirstBad
from knowlip.training.resume import read_checkpoint
from tests.training.runs import annotated, comparable, losses, start, tiny

__all__ = ["annotated"]


class Toy(nn.Module):
    """Mean square of a linear map."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(6, 4)
        self.temp = nn.Parameter(torch.tensor(0.5))

    def forward(self, x_BD: Tensor) -> Tensor:
        return (self.layer(x_BD) / self.temp).square().mean()


def toy_engine(**changes: object) -> tuple[Engine, Toy, nn.Module]:
    toy = Toy()
    engine = Engine(EngineConfig(accelerator="cpu", **changes))  # type: ignore[arg-type]
    return engine, toy, engine.setup(toy, learning_rate=0.01, weight_decay=0.1)


def test_accumulated_steps_are_those_of_the_whole_batch_in_plain_pytorch() -> None:
    engine, toy, stepper = toy_engine(accumulate=2, clip_gradient=0.7)
    plain = Toy()
    optimizer = torch.optim.AdamW(
        [
            {"params": [plain.layer.weight], "weight_decay": 0.1},
            {"params": [plain.layer.bias, plain.temp], "weight_decay": 0.0},
        ]
    )
    for step in range(5):
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        for part in x.chunk(2):
            engine.backward(stepper(part))
        norm = engine.step(learning_rate=0.01 / (step + 1))
        plain(x).backward()
        expected = nn.utils.clip_grad_norm_(plain.parameters(), 0.7)
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (step + 1)
        optimizer.step()
        optimizer.zero_grad()
        torch.testing.assert_close(norm, expected)
    for ours, theirs in zip(toy.parameters(), plain.parameters()):
        torch.testing.assert_close(ours, theirs)


def test_sgd_is_pytorchs() -> None:
    engine, toy, stepper = toy_engine(optimizer="sgd", momentum=0.8, clip_gradient=0.0)
    plain = Toy()
    optimizer = torch.optim.SGD(
        [
            {"params": [plain.layer.weight], "weight_decay": 0.1},
            {"params": [plain.layer.bias, plain.temp], "weight_decay": 0.0},
        ],
        lr=0.01,
        momentum=0.8,
    )
    for step in range(5):
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        engine.backward(stepper(x))
        engine.step(learning_rate=0.01)
        optimizer.zero_grad()
        plain(x).backward()
        optimizer.step()
    for ours, theirs in zip(toy.parameters(), plain.parameters()):
        torch.testing.assert_close(ours, theirs)


def test_what_is_no_optimizer_is_refused() -> None:
    for changes in ({"optimizer": "lamb"}, {"momentum": 1.0}):
        with pytest.raises(ValueError, match="optimizer must be"):
            check_engine(EngineConfig(**changes), 8, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("largest", [0.0, 0.3, 1e6])
def test_clipping_is_pytorchs(largest: float) -> None:
    pairs = []
    for shape in ((3, 4), (5,), ()):
        ours, theirs = nn.Parameter(torch.zeros(shape)), nn.Parameter(torch.zeros(shape))
        ours.grad = torch.randn(shape)
        theirs.grad = ours.grad.clone()
        pairs.append((ours, theirs))
    norm = clip_gradients([ours for ours, _ in pairs], largest)
    expected = nn.utils.clip_grad_norm_([theirs for _, theirs in pairs], largest or float("inf"))
    torch.testing.assert_close(norm, expected)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_only_matrices_decay() -> None:
    toy = Toy()
    groups = decay_groups(list(toy.parameters()), 0.1)
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert decay == {id(toy.layer.weight): 0.1, id(toy.layer.bias): 0.0, id(toy.temp): 0.0}


def test_fp16_skips_overflowing_gradients_and_goes_on() -> None:
    engine, toy, stepper = toy_engine(precision="fp16")
    watch = FirstBad(engine.device, skipping=True)
    before = toy.layer.weight.detach().clone()
    engine.backward(stepper(torch.ones(4, 6)) * 1e36)
    watch.note(0, torch.tensor(1.0), engine.step(0.01))
    assert torch.equal(toy.layer.weight, before)
    scale = engine.precision_state()["scale"]
    for step in range(1, 30):
        engine.backward(stepper(torch.ones(4, 6)))
        watch.note(step, torch.tensor(1.0), engine.step(0.01))
    assert not torch.equal(toy.layer.weight, before)
    bad, skipped = watch.read()
    assert bad is None
    assert 1 <= skipped < 29
    engine.load_precision_state({**engine.precision_state(), "scale": scale})
    assert engine.precision_state()["scale"] == scale


def test_the_first_bad_step_is_remembered() -> None:
    watch = FirstBad(torch.device("cpu"), skipping=False)
    good, bad = torch.tensor(1.0), torch.tensor(float("nan"))
    for step, (loss, norm) in enumerate([(good, good), (good, bad), (bad, bad), (good, good)], start=7):
        watch.note(step, loss, norm)
    assert watch.read() == (8, 0)


def test_batches_that_cannot_be_divided_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for config, size, sentence in (
        (EngineConfig(accumulate=3), 32, r"multiple of 1 processes x 3 passes"),
        (EngineConfig(devices=4), 30, r"multiple of 4 processes x 1 passes"),
        (EngineConfig(devices=4, accumulate=2), 8, r"leaves 1 for each of 4 processes x 2 passes: 2 at least"),
        (EngineConfig(accumulate=0), 8, "at least 1"),
        (EngineConfig(devices=0), 8, "1 or more, or -1"),
        (EngineConfig(num_nodes=2), 8, "torchrun"),
    ):
        with pytest.raises(ValueError, match=sentence):
            check_engine(config, size, smallest=2)
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "16")
    with pytest.raises(ValueError, match="multiple of 16 processes"):
        check_engine(EngineConfig(), 24, smallest=2)


@pytest.mark.parametrize(
    ("changes", "tolerance"),
    [({"checkpoint_activations": True}, 1e-5), ({"precision": "bf16"}, 0.05), ({"precision": "fp16"}, 0.05)],
)
def test_precision_and_memory_settings_train_the_same(
    changes: dict[str, object], tolerance: float, annotated: Path, tmp_path: Path
) -> None:
    for name, settings in (("plain", {}), ("changed", changes)):
        pretrain(comparable(annotated, tmp_path / name, stage_steps=(3, 0, 0), **settings))
    for plain, changed in zip(losses(tmp_path / "plain"), losses(tmp_path / "changed")):
        assert changed["loss"] == pytest.approx(plain["loss"], rel=tolerance)


@pytest.mark.parametrize("world", [1, 2])
def test_a_loss_that_is_not_finite_stops_all_and_keeps_its_batch(world: int, annotated: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config = tiny(annotated, run, stage_steps=(8, 0, 0), checkpoint_every=2, clip_gradient=0.0)
    config.learning_rate, config.warmup_steps = 1e30, 4
    config.min_learning_rate = 0.0
    if world == 1:
        with pytest.raises(ValueError, match=r"not finite at step 1 \(its batch: .*nonfinite-step-1.pt"):
            pretrain(config)
    else:
        ranks = start(config, world)
        for rank in ranks:
            rank.join(60)
        assert all(rank.exitcode == 1 for rank in ranks)
    saved = torch.load(run / "nonfinite-step-1.pt", weights_only=True)
    assert saved["step"] == 1
    assert saved["batches"][0]["pixels_BSS"].shape == (8, 32, 32)
    assert read_checkpoint(run / "checkpoint.pt") is None
