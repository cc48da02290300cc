"""Pre-training in three SCIO stages, as a task of :mod:`knowlip.training.loop`.

Stage 1 trains on all texts. Before stage 2, screening marks noisy sub-texts, which leave the infilling targets. Before
stage 3 they are written anew, and what is accepted becomes the text to train on. One learning-rate curve spans all
stages. Every decision and every new text is a revision of the data set.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, cast

import numpy as np
from timm.models.vision_transformer import VisionTransformer

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.progress import say
from knowlip.base.provenance import provenance
from knowlip.base.vocabulary import DISTRUSTED
from knowlip.dataset import Dataset
from knowlip.dataset.figures import write_figures
from knowlip.language.dimensions import DIMENSIONS
from knowlip.language.directions import possible_turns
from knowlip.language.questions import questions_from_facts
from knowlip.language.questions import sentences as question_sentences
from knowlip.language.tile_facts import facts_of_texts
from knowlip.models import KnowLIP, save_model
from knowlip.models.card import ModelCard
from knowlip.models.weights import initialise, open_start
from knowlip.models.weights.ledger import describe, for_card
from knowlip.objectives import PRIOR_LOSS, PRIOR_LOSS_OF_FOUR
from knowlip.scio.passes import Stage, decide, stages
from knowlip.tasks.looking import LookingSample, looking_figures, watched_sample, why_not_looked
from knowlip.tasks.questions import facts_about
from knowlip.tasks.settings import PretrainConfig
from knowlip.tasks.unseen import other_sets, sets_of
from knowlip.training.balance import rows_by_group, told
from knowlip.training.batch import Batch
from knowlip.training.batches import Batches
from knowlip.training.corpus import Corpus, model_card
from knowlip.training.engine import Engine
from knowlip.training.loop import run_name, train
from knowlip.training.losses import PARTS, JointLoss
from knowlip.training.resume import read_log
from knowlip.training.schedule import check_contrast, soft_target_share, warmup_of
from knowlip.training.state import whole_model
from knowlip.training.task import Task

_WORDINGS = 4
"""How many times each training tile is asked about, in other words and about other regions."""
_WEIGHTS = "weights.json"
"""Of a run: what it started from."""
_START = "start.json"
"""Of a run: what the model that it started from had seen."""
GROWING: Final = ("train_blocks", "quantiser", "windows_m", "sensors", "metres_per_pixel")
"""What of a card grows with each training."""


_SETS: Final = "other_sets"
_UNTAUGHT: Final = "untaught"


def pretrain(config: PretrainConfig, sentences: Sequence[str] | None = None) -> dict[str, Any]:
    """Train, resume, or (when the run is finished) report.

    Args:
        config: settings.
        sentences: more text for a trained vocabulary to cover; the questions that fine-tuning may ask, where not given.

    Returns:
        Steps, revision, last losses, seconds, pairs a second, path of the model, screening on injected noise.

    Raises:
        ValueError: data set missing or not annotated, another config in `out`, loss not finite.
        ChildProcessError: one of several processes was killed or failed.
    """
    objectives = config.objectives
    weights = (objectives.itc, objectives.itm, objectives.infill)
    unused = not all(weights) or objectives.generation != "infill"
    words = tuple(question_sentences() if sentences is None else sentences)
    return train(Pretraining, config, words, unused=unused, smallest=2)


class Pretraining(Task[Batch]):
    """The pairs of a data set, the three objectives, and SCIO's passes between the stages."""

    losses: ClassVar[tuple[str, ...]] = ("loss", *PARTS)
    free: ClassVar = ("data.pixels", "data.workers", "data.prefetch", "data.pin", "look_every", "look_tiles")
    module: JointLoss

    def __init__(self, config: PretrainConfig, engine: Engine, sentences: Sequence[str]) -> None:
        self.config, self.engine = config, engine
        if config.objectives.added:  # their values stand in the log beside ours
            self.losses = ("loss", *PARTS, *config.objectives.added)  # type: ignore[misc]
        self.dataset = Dataset(config.dataset)
        goes_on = (config.out / "checkpoint.pt").is_file()
        start = open_start(config.init.model) if config.init.model and not goes_on else None
        self.start_card: Mapping[str, Any] = {} if start is None else start.card
        self.start_questions = 0 if start is None else start.config.readout_questions
        tokenizer = None if start is None else start.tokenizer
        self.corpus = Corpus.open(self.dataset, config, sentences, tokenizer)
        if not goes_on or config.objectives.questions_from == "truth":  # the texts to go on with are read later
            self._ask()
        self.corpus.drop_noise = config.scio.noise == "all"
        if config.objectives.ground_from == "truth":
            if not self.corpus.truths:
                raise ValueError(f"{self.dataset.path} has no truth: set objectives.ground_from to annotator.")
            self.corpus.truth_teaches = True
        if config.model.readout and not (config.objectives.ground or config.init.model):
            raise ValueError(
                "Nothing teaches the readout, which answers questions about landforms too: set objectives.ground above "
                "0, or model.readout to false."
            )
        sizes = copy.deepcopy(config.model)
        sizes.text.vocab_size = len(self.corpus.tokenizer)
        self.model = KnowLIP(sizes, self.corpus.tokenizer)
        self.weights = {} if goes_on else initialise(self.model, config.init, start)
        self.model.checkpoint_activations(config.checkpoint_activations)
        self.module = JointLoss(self.model, config.objectives)
        self.order = self.batches(0, 1).order
        self.steps_per_epoch = self.order.steps_per_epoch
        lengths = config.stage_steps or [epochs * self.steps_per_epoch for epochs in config.stage_epochs]
        self.stages = stages(lengths, config.scio.iterations)
        self.ends = [stage.end for stage in self.stages]
        self.itm_prior = PRIOR_LOSS_OF_FOUR if config.objectives.wrong_subtext else PRIOR_LOSS
        self.revision = 0
        self.watched: LookingSample | None = None
        self.name = run_name(config, self)

    def _ask(self) -> None:
        """Take the questions that are asked beside the texts: from truth, once, or from the texts as they are now
        believed."""
        config, corpus = self.config, self.corpus
        if not config.objectives.questions:
            return
        if config.objectives.questions_from == "truth":
            if not self.dataset.truth():
                raise ValueError(f"{self.dataset.path} has no truth: set objectives.questions_from to annotator.")
            facts, source = facts_about(self.dataset, corpus.tile_ids)
        else:
            facts, source = facts_of_texts(corpus.table[~corpus.table["decision"].isin(DISTRUSTED)]), "annotator"
        seeds = range(config.seed, config.seed + _WORDINGS)
        corpus.ask([question for seed in seeds for question in questions_from_facts(facts, seed, source)])

    def _take(self, revision: int) -> None:
        """Train on the texts of a revision, and ask what they claim."""
        self.revision = revision
        self.corpus.read_texts(self.dataset, revision)
        if self.config.objectives.questions_from == "annotator":
            self._ask()

    def batches(self, rank: int, world: int) -> Batches:
        return Batches(self.corpus, self.config, rank, world, self.config.accumulate)

    def identity(self) -> list[str]:
        return [self.dataset.fingerprint, self.corpus.text_key]

    @property
    def epoch_rows(self) -> dict[str, float]:
        """Instruction set and scale -> tiles of it in an epoch."""
        return rows_by_group(self.corpus.groups, self.order.times)

    def cautions(self) -> list[str]:
        objectives, tiles = self.config.objectives, len(self.corpus.tile_ids)
        found = check_contrast(objectives.queue, tiles, objectives.alpha, self.alpha_ramp, self.total)
        first, rising = self.stages[0].end, warmup_of(self.config.warmup_steps, self.total)
        if len(self.stages) > 1 and first < rising and self.total > first:
            found.append(
                f"Texts are screened at step {first:,}, while the learning rate still rises (until {rising:,}): a "
                "model that has hardly learned judges them. Make stage 1 longer, or warmup_steps smaller."
            )
        taught = self.corpus.truth_teaches and objectives.ground
        if taught and (lacking := sum(one not in self.corpus.truths for one in self.corpus.tile_ids)):
            found.append(f"{lacking:,} of {tiles:,} tiles have no truth: their annotator teaches the readout of them.")
        return found

    def begin(self) -> None:
        """Say what an epoch holds; say and keep which foreign weights the model starts from."""
        there = rows_by_group(self.corpus.groups, np.ones(len(self.corpus.groups)))
        say(f"an epoch of {self.steps_per_epoch} steps holds {told(self.epoch_rows, there)}")
        turns = possible_turns(self.config.augment.flips, self.config.augment.rotations)
        still, looked = self.corpus.cannot_turn(turns)
        if still:
            say(f"{still:,} of {looked:,} texts place something in words that cannot be turned: their tiles stay.")
        if self.weights:
            write_json(self.config.out / _WEIGHTS, self.weights)
            start = {key: list(self.start_card.get(key, ())) for key in GROWING}
            known = self.model.readout.names if self.model.readout else []
            start[_UNTAUGHT] = [*self.start_card.get(_UNTAUGHT, ()), *known[self.start_questions :]]
            write_json(self.config.out / _START, start | {_SETS: sets_of(self.start_card)})
            for report in self.weights.values():
                say(describe(report))
        if self.config.look_every and (reason := why_not_looked(self.model)):
            say(f"The log has no image gain: {reason}.")

    # ---- a step -----------------------------------------------------------------------------------------------------

    @property
    def alpha_ramp(self) -> int:
        """Steps over which the share of soft targets rises."""
        return round(self.config.objectives.alpha_epochs * self.steps_per_epoch)

    def arguments(self, step: int) -> tuple[float]:
        """The share of soft targets, which rises over the first epochs."""
        return (soft_target_share(step, self.alpha_ramp, self.config.objectives.alpha),)

    def before_step(self) -> None:
        self.module.ema.eval()

    def after_step(self, given: list[Any]) -> None:
        self.module.finish(given, self.config.objectives.momentum)

    def flops(self, part: Batch) -> float | None:
        return self.module.flops(part) if isinstance(self.model.visual_encoder, VisionTransformer) else None

    # ---- SCIO -------------------------------------------------------------------------------------------------------

    def enter(self, number: int, step: int) -> None:
        """Screen or reconstruct: the first process does it with the momentum model; a revision that this very run wrote
        before is used again, so that a kill between the pass and the next checkpoint costs nothing."""
        stage = self.stages[number]
        if stage.action == "train":
            return
        label = f"{self.name}-stage{stage.number}"
        found = self.dataset.find_revision(label) if self.engine.first else None
        found = self.engine.fabric.broadcast(found)
        if found is None:
            model = whole_model(self.module.ema)
            found = self.engine.fabric.broadcast(None if model is None else self._decide(model, stage, label))
        assert found is not None
        self._take(found)

    def _decide(self, model: KnowLIP, stage: Stage, label: str) -> int:
        """One pass over the texts, written as a revision. Returns the revision's number; the old one where nothing was
        to decide."""
        say(f"stage {stage.number}: {stage.action} (revision of {label})")
        rng = np.random.default_rng([self.config.seed, 3, stage.number])
        rows, figures = decide(stage.action, model, self.corpus, self.config.scio, rng)
        found = self.revision
        if len(rows):
            found = self.dataset.append_revision(rows, label, parent=self.revision)
            write_figures(self.dataset.path, found, figures)
        write_json(self.config.out / f"scio-stage{stage.number}.json", figures)
        return found

    # ---- state, logs, result ----------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return {"revision": self.revision}

    def load_state(self, state: Mapping[str, Any]) -> None:
        if "revision" not in state:
            raise ValueError(f"{self.config.out} holds another training: use another output folder.")
        self._take(state["revision"])

    def figures(self, step: int) -> dict[str, Any]:
        # The line says where training goes on: the stage that trains next, the last one at the end.
        stage = next((stage.number for stage in self.stages if step < stage.end), self.stages[-1].number)
        tau, duplicates = float(self.model.temp.detach()), self.module.queue.duplicates()
        return {
            "stage": stage,
            "itm_prior": self.itm_prior,
            "tau": tau,
            "queue_duplicates": duplicates,
            "revision": self.revision,
            **self._looking(step),
        }

    def _looking(self, step: int) -> dict[str, float]:
        """Image gain and attention at the first log line from every `look_every` steps on, and at the last."""
        config = self.config
        due = config.look_every and (step % config.look_every < config.log_every or step == self.total)
        if not due or why_not_looked(self.model):
            return {}
        if self.watched is None:
            self.watched = watched_sample(self.dataset, self.model, config.look_tiles, config.seed)
        return looking_figures(self.model, self.watched)

    def told(self, line: Mapping[str, Any]) -> str:
        gains = [f"{name} {line[f'gain.{name}']:+.3f}" for name in DIMENSIONS if f"gain.{name}" in line]
        looked = f"  image gain {' '.join(gains)}" if gains else ""
        return (
            f"stage {line['stage']}  itc {line['itc']:.3f}  itm {line['itm']:.3f} (prior {line['itm_prior']:.4f})  "
            f"infill {line['infill']:.3f}  ground {line['ground']:.3f}  tau {line['tau']:.4f}{looked}"
        )

    def finish(self, step: int, seconds: float) -> dict[str, Any]:
        """Save the model with its card."""
        model = whole_model(self.model)
        result: dict[str, Any] = {}
        if model is not None:
            out = self.config.out
            card = model_card(self.dataset, self.corpus, self.revision)
            card |= {"epoch_rows": self.epoch_rows, "run": self.name, **provenance()}
            if self.model.readout:
                taught = self.corpus.answered(self.model.readout.names) if self.config.objectives.ground else set()
                card["untaught"] = [name for name in self.model.readout.names if name not in taught]
            if (out / _WEIGHTS).is_file():  # also where this process only went on with the run
                card["weights"] = for_card(read_json(out / _WEIGHTS))
                card = _grown(card, read_json(out / _START))
            save_model(model, out / "model", card)
            result = {
                "model": str(out / "model"),
                "run": self.name,
                "steps": step,
                "revision": self.revision,
                "tiles": len(self.corpus.tile_ids),
                "vocabulary": len(self.corpus.tokenizer),
                "seconds": seconds,
                "pairs_per_s": step * self.config.batch_size / max(1e-9, seconds),
                "last": (read_log(out / "log.jsonl") or [{}])[-1],
            }
        return dict(self.engine.fabric.broadcast(result))


def _grown(card: ModelCard, start: Mapping[str, list[Any]]) -> ModelCard:
    """The card of a model that has seen what its start had seen, too."""
    grown: dict[str, Any] = dict(card)
    others = other_sets({_SETS: start.get(_SETS, [])}, str(card["dataset_fingerprint"]))
    if others:
        grown[_SETS] = others
    for key in GROWING:
        seen = sorted({*grown[key], *start.get(key, ())}, reverse=key == "windows_m")
        grown[key] = [seen[0], seen[-1]] if key == "metres_per_pixel" and seen else seen
    if _UNTAUGHT in grown:
        grown[_UNTAUGHT] = [name for name in grown[_UNTAUGHT] if name in start.get(_UNTAUGHT, grown[_UNTAUGHT])]
    return cast(ModelCard, grown)
