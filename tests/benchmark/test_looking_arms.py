"""The arms of the benchmark are settings that the command takes, and models that can be built."""

from pathlib import Path

import pytest

from benchmarks.looking_arms import ARMS, settings_of, target_gain
from knowlip.base.parsing import parse_command
from knowlip.models import KnowLIP
from knowlip.tasks.pretrain import PretrainConfig
from knowlip.training.losses import JointLoss
from tests.training.test_step import make_tokenizer


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_can_be_trained(name: str) -> None:
    given = ["--recipe", "tiny", "--dataset", "d", "--out", "o", *settings_of(name, 9, 3, 4)]
    config, _ = parse_command("pretrain", "", PretrainConfig, given)
    assert (config.stage_steps, config.seed, config.dataset) == ((9, 0, 0), 3, Path("d"))
    assert (config.batch_size, config.warmup_steps) == (4, 2)
    config.model.text.vocab_size = len(make_tokenizer())
    JointLoss(KnowLIP(config.model, make_tokenizer()), config.objectives)


def test_the_gain_of_targets_is_the_mean_of_both_sets() -> None:
    gains = {"image gain, ground": {"value": 0.25}, "image gain, marine": {"value": 0.75}, "image gain": {"value": 9.0}}
    assert target_gain(gains) == 0.5
    with pytest.raises(ValueError, match="no image gain"):
        target_gain({"image to text R@1": {"value": 0.1}})
