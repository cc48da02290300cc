"""Settings of `knowlip ablation`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from knowlip.base.generation import GenerationConfig
from knowlip.base.recipes import load_recipe, with_changes
from knowlip.benchmark.ablation_arms import Arm, all_arms, level
from knowlip.benchmark.corrupt import check_generator

_QUICK: Final = (
    "pretrain.stage_steps=[60,20,40]",
    "pretrain.batch_size=32",
    "pretrain.warmup_steps=10",
    "pretrain.scio.calibration_tiles=128",
    "finetune.steps=40",
    "finetune.batch_size=32",
)
"""Changes of a recipe by `quick`."""
_QUICK_ARMS: Final = ("oracle-screening", "oracle-texts", "paper", "ours")
"""Loops that `quick` runs."""
_SEEDS: Final = 5
_QUICK_SEEDS: Final = 3
_QUICK_TILES: Final = 300
"""Test tiles of `quick` where no number is given."""


@dataclass
class AblationConfig:
    """Settings of :func:`ablation`."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """An annotated data set with truth. It is only read; its revision 0 are the annotator's texts."""
    out: Path
    """Folder of all trainings and of ablation.json; a stopped command goes on there."""
    recipe: str = "tiny"
    """Name of a recipe or a YAML file: sections `pretrain` (its lengths in steps) and `finetune`."""
    set: list[str] = field(default_factory=list)
    """Changes of the recipe: STAGE.KEY=VALUE."""
    quick: bool = False
    """Short trainings, three seeds and the arms that say most: about an hour of one core with recipe `tiny`."""
    seeds: int = 0
    """Trainings of each arm, with seeds 0, 1, ...; more may be asked for later. 0: five, or three with `quick`."""
    wrong: list[float] = field(default_factory=lambda: [0.0, 0.12, 0.25, 0.5])
    """Shares of sub-texts that are wrong by chance, the first 0: the first and the last are the ceilings."""
    generator: str = "mistakes"
    """What makes them wrong: `mistakes`, `other-tile`, or `injected`, which is what calibrates SCIO."""
    repairs: list[str] = field(default_factory=lambda: ["wrong-25"])
    """Texts that loops are tried on: wrong-P, annotator."""
    arms: list[str] = field(default_factory=list)
    """Some arms beside the ceilings (wrong-P, annotator, templates, TEXTS+oracle-screening, TEXTS+oracle-texts,
    TEXTS+paper, TEXTS+screened, TEXTS+ours); none named: all."""
    regardless: bool = False
    """Train the other arms even where the ceilings do not differ."""
    tiles: int = 0
    """Most test tiles; 0 = all (300 with `quick`)."""
    written_tiles: int = 150
    """Test tiles about which models write, of each instruction set alike; 0 = none."""
    generation: GenerationConfig = field(default_factory=lambda: GenerationConfig(max_new_tokens=32))
    """How they write."""
    finetune_tiles: int = 150
    """Training tiles whose questions are learned; 0: no fine-tuning, no questions."""
    questions_per_type: int = 200
    """Most questions of each of the six types about test tiles."""
    question_seed: int = 0
    """Of the errors in texts and of all that is asked of test tiles; the same for all trainings."""
    workers: int = 1
    """Trainings at a time, each in a process of its own with its share of the cores; 1: in this process."""
    nice: int = 10
    """By how much the trainings give way to other work of the machine (POSIX niceness, 0 to 19)."""

    def __post_init__(self) -> None:
        if min(self.questions_per_type, self.workers) < 1:
            raise ValueError("questions_per_type and workers must be at least 1.")
        if self.seeds < 0:
            raise ValueError(f"seeds must be at least 1, or 0 for the usual number, not {self.seeds}.")
        if min(self.tiles, self.written_tiles, self.finetune_tiles) < 0 or not 0 <= self.nice <= 19:
            raise ValueError("tiles, written_tiles and finetune_tiles must not be negative, and nice 0 to 19.")
        if not all(0 <= share <= 1 for share in self.wrong):
            raise ValueError("wrong must be shares from 0 to 1.")
        levels = [level(share) for share in self.wrong]
        if len(self.wrong) < 2 or self.wrong[0] != 0 or sorted(set(levels), key=levels.index) != levels:
            raise ValueError("wrong must be two or more different shares, the first 0: [0, 0.12, 0.25, 0.5].")
        if self.wrong != sorted(self.wrong):
            raise ValueError("wrong must rise.")
        check_generator(self.generator)
        known = [arm.name for arm in all_arms(self.wrong, ()) if arm.texts != "templates"]
        if strangers := [name for name in self.repairs if name not in known]:
            raise ValueError(f"No loop can repair the texts {strangers[0]!r}: choose from {', '.join(known)}.")
        arms = [arm.name for arm in all_arms(self.wrong, self.repairs)]
        if strangers := [name for name in self.arms if name not in arms]:
            raise ValueError(f"There is no arm {strangers[0]!r}: choose from {', '.join(arms)}.")

    @property
    def ceilings(self) -> tuple[str, str]:
        """The arms with the fewest errors and with the most."""
        return level(self.wrong[0]), level(self.wrong[-1])

    @property
    def test_tiles(self) -> int:
        """Most test tiles; 0 = all."""
        return self.tiles or (_QUICK_TILES if self.quick else 0)

    @property
    def all_seeds(self) -> range:
        """Seeds of each arm."""
        return range(self.seeds or (_QUICK_SEEDS if self.quick else _SEEDS))

    def chosen_arms(self) -> list[Arm]:
        """The arms beside the ceilings."""
        arms = [arm for arm in all_arms(self.wrong, self.repairs) if not self.arms or arm.name in self.arms]
        if self.quick and not self.arms:
            arms = [arm for arm in arms if arm.loop in _QUICK_ARMS]
        return arms

    def recipe_changed(self) -> dict[str, Any]:
        """The recipe with all changes."""
        return with_changes(load_recipe(self.recipe), [*(_QUICK if self.quick else ()), *self.set])
