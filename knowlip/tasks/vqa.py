"""Questions about tiles: the encoder reads a question with the image, the decoder writes the answer.

The recipe is BLIP-VQA's with the infilling loss: a question is a context, its answer the content of the hole.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from knowlip.base.provenance import provenance
from knowlip.dataset import Dataset
from knowlip.dataset.reader import widths_m
from knowlip.models import KnowLIP, load_model, save_model
from knowlip.models.text import rows_of
from knowlip.models.tokenizer import TextTokenizer
from knowlip.objectives import infill_loss
from knowlip.scio.scorer_model import fingerprint
from knowlip.tasks.answering import ANSWERING
from knowlip.tasks.answers import measure_answers as measure
from knowlip.tasks.asking import Counts, Example, QuestionSampler, examples_of
from knowlip.tasks.settings import FinetuneConfig
from knowlip.tasks.unseen import also_seen
from knowlip.training.augment import GreyScale, augment
from knowlip.training.batch import AskedQuestions, each_tensor
from knowlip.training.engine import Engine
from knowlip.training.loop import train
from knowlip.training.losses import write_holes, written_logits
from knowlip.training.order import Order, dealt
from knowlip.training.resume import read_log
from knowlip.training.state import whole_model
from knowlip.training.task import Task, prefetched
from knowlip.training.tiles import load_pixels

__all__ = ["AnswerLoss", "Answering", "Example", "FinetuneConfig", "examples_of", "finetune", "measure"]


def finetune(config: FinetuneConfig, examples: Sequence[Example] | None = None) -> dict[str, Any]:
    """Train on questions about training tiles; a killed run goes on where its last checkpoint was.

    Args:
        config: settings.
        examples: questions with answers; those about tiles outside the training split are refused. Where not given,
            they come from truth where the data set has it, else from the annotator's texts.

    Returns:
        Steps, last loss, path of the model; `source` of the answers where no examples were given.

    Raises:
        ValueError: no examples, examples about held-out tiles, loss not finite.
        ChildProcessError: one of several processes was killed or failed.
    """
    source = {}
    if examples is None:
        examples, said = examples_of(Dataset(config.dataset))
        source = {"source": said}
    if not examples:
        raise ValueError("There are no questions about the training tiles to fine-tune on.")
    unused = True  # heads of contrast and matching are not asked
    return train(Answering, config, tuple(examples), unused=unused) | source


@dataclass
class AskedImages:
    """Some images and questions about them."""

    pixels_BSS: Tensor
    """uint8 as read, float once augmented."""
    scale: GreyScale
    width_m_B: Tensor
    """Width on the ground in metres, NaN where it is not known."""
    seed_B: Tensor
    """Chance of the augmentation of each image."""
    asked: AskedQuestions


class Answering(Task[AskedImages]):
    """Training tiles with questions, and the infilling loss of the answers."""

    free: ClassVar = ("model", "workers")
    pairs: ClassVar = "images"

    def __init__(self, config: FinetuneConfig, engine: Engine, examples: Sequence[Example]) -> None:
        # Strangers and too few tiles are refused before the model is loaded and pixels are decoded, which take minutes.
        self.config, self.engine, self.examples = config, engine, examples
        self.asking = QuestionSampler(examples, config.balance, config.repeats, config.questions_per_image)
        self.dataset = Dataset(config.dataset)
        self.tiles = self.dataset.tiles(split="train").set_index("tile_id")
        if strangers := {example.tile_id for example in examples} - set(self.tiles.index):
            raise ValueError(
                f"{len(strangers)} tiles asked about are not in the training split, first {min(strangers)}."
            )
        self.key = self.asking.key()
        self.tile_ids = self.asking.tile_ids
        if len(self.tile_ids) < engine.world * config.accumulate:
            raise ValueError(
                f"Questions about {len(self.tile_ids)} tiles cannot be shared by {engine.world} processes in "
                f"{config.accumulate} passes: ask about more tiles."
            )
        self.model = load_model(config.model)
        self.base = fingerprint(self.model)
        self.scale = GreyScale.of(self.tiles.loc[self.tile_ids])
        self.width_m_N = widths_m(self.tiles.loc[self.tile_ids])
        self.pixels = load_pixels(
            self.dataset, self.tile_ids, self.model.config.vision.image_size, config.out / "cache"
        )
        # Fewer tiles than a batch are a batch of all of them.
        batch, weights = min(config.batch_size, len(self.tile_ids)), self.asking.weights if config.balance else None
        self.order = Order(len(self.tile_ids), batch, config.seed, weights=weights)
        self.steps_per_epoch = self.order.steps_per_epoch
        self.ends = [config.steps or config.epochs * self.steps_per_epoch]
        self.model.checkpoint_activations(config.checkpoint_activations)
        self.module = AnswerLoss(self.model, config.label_smoothing)

    def batches(self, rank: int, world: int) -> "QuestionBatches":
        return QuestionBatches(self, rank, world)

    def identity(self) -> list[str]:
        return [self.dataset.fingerprint, self.key, self.base]

    def state(self) -> dict[str, Any]:
        return {"key": self.key}

    def load_state(self, state: Mapping[str, Any]) -> None:
        if state.get("key") != self.key:
            raise ValueError(
                f"{self.config.out} was trained on other questions: use another output folder, or delete it."
            )

    def begin(self) -> None:
        """Say what an epoch asks."""
        self.asking.tell(self.steps_per_epoch, self.order.times, self.config.augment)

    @property
    def epoch_questions(self) -> Counts:
        """Type and answer -> questions in an epoch."""
        return self.asking.asked(self.order.times)

    def finish(self, step: int, seconds: float) -> dict[str, Any]:
        """Save the model with its card."""
        out, whole = self.config.out, whole_model(self.model)
        if whole is not None:
            asked = {f"{kind}: {answer}": round(number, 1) for (kind, answer), number in self.epoch_questions.items()}
            card = self.model.card | {"finetuned_on": "questions", "questions": len(self.examples)}
            card |= {"epoch_questions": asked, "unturned_questions": self.asking.cannot_turn(self.config.augment)[0]}
            card |= provenance()
            card |= also_seen(card, self.dataset, self.tiles["block"])
            save_model(whole, out / "model", card)
        self.engine.fabric.barrier()
        last = (read_log(out / "log.jsonl") or [{"loss": None}])[-1]
        return {
            "model": str(out / "model"),
            "steps": step,
            "questions": len(self.examples),
            "last_loss": last["loss"],
            "seconds": seconds,
        }


class QuestionBatches:
    """Batches by number of step and pass; each process gets its rows of the global batch
    (:mod:`knowlip.jobs.ranks`)."""

    def __init__(self, task: Answering, rank: int, world: int) -> None:
        self.task, self.config, self.rank, self.world = task, task.config, rank, world
        self.tokenizer: TextTokenizer = task.model.tokenizer
        self.longest = task.model.config.text.max_length

    def stream(self, start: int, stop: int) -> Generator[list[AskedImages], None, None]:
        return prefetched(self._step, start, stop, self.config.workers, 2)

    def deliver(self, part: AskedImages, step: int, micro: int, device: torch.device | str) -> AskedImages:
        """To the device, augmented there."""
        pixels = augment(part.pixels_BSS.to(device), part.seed_B.to(device), part.scale.to(device), self.config.augment)
        asked = each_tensor(part.asked, lambda tensor: tensor.to(device))
        return replace(part, pixels_BSS=pixels, width_m_B=part.width_m_B.to(device), asked=asked)

    def _step(self, step: int) -> list[AskedImages]:
        return [self.at(step, micro) for micro in range(self.config.accumulate)]

    def at(self, step: int, micro: int) -> AskedImages:
        """This process's part of a pass of a step, on the CPU."""
        config, task = self.config, self.task
        rng = np.random.default_rng([config.seed, 2, step])
        rows = task.order.rows(step)
        seeds = rng.integers(2**62, size=len(rows))
        # The questions of the whole batch are drawn, whoever holds which row: the draw must not depend on the world.
        drawn = task.asking.draw(rows, rng, config.augment)
        mine = dealt(len(rows), micro, config.accumulate, self.rank, self.world)
        posed = [(position, one) for position, at in enumerate(mine) for one in drawn[at][1]]
        turned = [drawn[at][0].pixels(tile) for at, tile in zip(mine, task.pixels[rows[mine]])]
        return AskedImages(
            pixels_BSS=torch.from_numpy(np.stack(turned)),
            scale=task.scale.rows(rows[mine]),
            width_m_B=torch.from_numpy(task.width_m_N[rows[mine]]),
            seed_B=torch.from_numpy(seeds[mine]),
            asked=AskedQuestions.framed(self.tokenizer, self.longest, posed),
        )


class AnswerLoss(nn.Module):
    """The infilling loss of answers."""

    def __init__(self, model: KnowLIP, label_smoothing: float) -> None:
        super().__init__()
        self.model, self.label_smoothing = model, label_smoothing

    def forward(self, batch: AskedImages) -> tuple[dict[str, Tensor], None]:
        """Mean over the tokens of this pass in all processes, when it is averaged over them."""
        model = self.model
        tokens, _ = model.encode_images(model.normalise(batch.pixels_BSS), batch.width_m_B)
        memory = rows_of(model.image_key_values(tokens), batch.asked.image_Q)
        context = model.context_input(*batch.asked.question, memory)
        states, targets = write_holes(model, context, batch.asked.holes)
        logits = written_logits(model, torch.cat(states), torch.cat(targets), self.label_smoothing)
        return {"loss": infill_loss(*logits)}, None


BENCH: Final = ANSWERING
"""With contrast and matching beside, and measured: :mod:`knowlip.tasks.answering`."""
