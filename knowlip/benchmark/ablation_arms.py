"""The arms of the ablation: which texts a model learns from, and what happens to them on the way.

    wrong-P                 right texts of which P percent were made wrong by chance (wrong-0: none, the ceiling)
    annotator, templates    the data set's own texts; sentences that the `labels` annotator makes from truth
    TEXTS+oracle-screening  from the end of stage 1 on exactly the wrong sub-texts are hidden
    TEXTS+oracle-texts      from there on exactly these have right words
    TEXTS+paper             the paper's loop (`scio.method: paper`): screening, then reconstruction
    TEXTS+screened          our screening alone
    TEXTS+ours              our screening, then our reconstruction

Arms of the same TEXTS are one training up to the end of stage 1, `screened` and `ours` up to the end of stage 2. All
take as many steps: those of passes that an arm does not have are trained on its last texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from knowlip.base.files import whole_file
from knowlip.scio.config import ScioConfig
from knowlip.tasks.settings import PretrainConfig

Loop = Literal["", "oracle-screening", "oracle-texts", "paper", "screened", "ours"]
LOOPS: Final[Mapping[Loop, str]] = {
    "oracle-screening": "exactly the wrong ones hidden",
    "oracle-texts": "exactly the wrong ones right",
    "paper": "the paper's loop",
    "screened": "our screening",
    "ours": "our screening and rewriting",
}
_PASSES: Final[Mapping[Loop, int]] = {"screened": 2, "paper": 3, "ours": 3}
"""SCIO stages of an arm; 1 is training alone."""
TEMPLATES: Final = "templates"
ANNOTATOR: Final = "annotator"
_TEXTS: Final = {ANNOTATOR: "the annotator's texts", TEMPLATES: "template texts"}
_ORACLE_REVISION: Final = 1
"""Of the texts that an oracle has decided on."""


@dataclass(frozen=True)
class Arm:
    """One arm."""

    texts: str
    loop: Loop = ""

    @property
    def name(self) -> str:
        return f"{self.texts}+{self.loop}" if self.loop else self.texts

    @property
    def oracle(self) -> bool:
        """Whether truth decides, so that its texts are the same for all seeds."""
        return self.loop.startswith("oracle")

    @property
    def base(self) -> "Arm | None":
        """The arm of the same texts without a loop; None for itself."""
        return Arm(self.texts) if self.loop else None

    @property
    def before(self) -> "Arm | None":
        """The arm whose training this one goes on from."""
        return Arm(self.texts, "screened") if self.loop == "ours" else self.base

    @property
    def what(self) -> str:
        """For people."""
        told = _TEXTS.get(self.texts) or f"{self.texts.removeprefix('wrong-')} % wrong by chance"
        return f"{told}, {LOOPS[self.loop]}" if self.loop else told

    @classmethod
    def of(cls, name: str) -> "Arm":
        """The arm of a name.

        Raises:
            ValueError: there is no such loop.
        """
        texts, _, loop = name.partition("+")
        if found := next((one for one in LOOPS if one == loop), None):
            return cls(texts, found)
        if loop:
            raise ValueError(f"There is no arm {name!r}: behind the + stands one of {', '.join(LOOPS)}.")
        return cls(texts)


def level(share: float) -> str:
    """Name of the texts of which a share is wrong: 0.12 -> "wrong-12"."""
    return f"wrong-{round(100 * share)}"


def all_arms(wrong: Sequence[float], repairs: Sequence[str]) -> list[Arm]:
    """Every arm: texts by their share of errors, the annotator's, templates, then the loops."""
    texts = [*(level(share) for share in wrong), ANNOTATOR, TEMPLATES]
    return [*(Arm(name) for name in texts), *(Arm(base, loop) for base in repairs for loop in LOOPS)]


def waves(arms: Sequence[Arm], ceilings: Sequence[str]) -> list[list[Arm]]:
    """Arms in parts to be done one after the other; those of a part need nothing of each other. The ceilings are
    first. What an arm goes on from is added."""
    wanted = list(arms)
    for arm in wanted:
        if arm.before is not None and arm.before not in wanted:
            wanted.append(arm.before)
    found = [[Arm(name) for name in ceilings]]
    left = [arm for arm in dict.fromkeys(wanted) if arm not in found[0]]
    while left:
        done = {arm for part in found for arm in part}
        found.append([arm for arm in left if arm.before is None or arm.before in done])
        left = [arm for arm in left if arm not in found[-1]]
    return found


# ---- how an arm is trained -------------------------------------------------------------------------------------------


def training_of(arm: Arm, recipe: PretrainConfig, repairs: Sequence[str]) -> PretrainConfig:
    """The recipe's training with an arm's lengths and loop, and with the checkpoints that later arms go on from."""
    check_lengths(recipe)
    assert recipe.stage_steps is not None
    (first, screened, rewritten), scio = recipe.stage_steps, recipe.scio
    later = scio.iterations * (screened + rewritten)
    passes = _PASSES.get(arm.loop, 1)
    if passes == 1:
        steps, scio = (first + later, 0, 0), replace(scio, iterations=0)
    elif passes == 2:
        steps, scio = (first, later, 0), replace(scio, iterations=1)
    else:
        steps = recipe.stage_steps
    if arm.loop == "paper":
        both = ("iterations", "policy", "max_new_tokens", "tiles_at_once", "negatives")
        scio = ScioConfig(method="paper", **{name: getattr(scio, name) for name in both})
    kept = {"": (first,) if arm.texts in repairs else (), "screened": (first + screened,)}
    return replace(recipe, stage_steps=steps, scio=scio, keep_steps=kept.get(arm.loop, ()))


def check_lengths(recipe: PretrainConfig) -> None:
    """Raise `ValueError` for a training whose arms cannot share stages."""
    lengths, scio = recipe.stage_steps, recipe.scio
    if lengths is None or min(lengths) < 1:
        raise ValueError(
            "The ablation needs the lengths of all three stages in steps, because its arms share them: "
            "--set pretrain.stage_steps=[300,60,60]."
        )
    if scio.method != "calibrated" or scio.iterations < 1:
        raise ValueError(
            "The ablation runs both methods itself: leave pretrain.scio.method and iterations as they are."
        )


def go_on(arm: Arm, recipe: PretrainConfig, run: Path, before: Path) -> None:
    """Put the state of the training that an arm goes on from into its run folder, where it has none of its own.

    Args:
        arm: with an arm before it.
        recipe: tells the lengths of stages.
        run: folder of this arm's training.
        before: folder of the training before.

    Raises:
        ValueError: the state is gone.
    """
    from knowlip.training.resume import read_checkpoint, write_checkpoint

    if (run / "checkpoint.pt").exists():
        return
    assert recipe.stage_steps is not None
    first, screened, _ = recipe.stage_steps
    step = first + screened if arm.loop == "ours" else first
    kept = before / f"checkpoint-{step}.pt"
    state = read_checkpoint(kept)
    if state is None:
        raise ValueError(f"{kept} is gone, from which {arm.name} goes on: delete {before.parent} to train it again.")
    if arm.oracle:
        state["revision"] = _ORACLE_REVISION
    # Its vocabulary too, and what it started from: those may be of a start (`pretrain.init.model`), which is not read
    # again where a run goes on.
    kept_beside = [before / name for name in ("tokenizer.json", "start.json", "weights.json")]
    for path in [*before.glob("scio-stage*.json"), *(path for path in kept_beside if path.is_file())]:
        with whole_file(run / path.name) as part:
            part.write_bytes(path.read_bytes())
    with whole_file(run / "log.jsonl") as part:  # what is behind the checkpoint is dropped when the run resumes
        part.write_bytes((before / "log.jsonl").read_bytes())
    write_checkpoint(run / "checkpoint.pt", state)
