"""Fine-tuning on questions: the encoder reads a question with the image, the decoder writes the answer.

The recipe is BLIP-VQA's with the infilling loss: a question is a context, its answer the content of the hole. It runs
on the engine of pre-training: several processes, mixed precision, accumulation, resuming.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from knowlip.base.files import sha256
from knowlip.base.progress import say, track
from knowlip.base.provenance import provenance
from knowlip.base.settings import same_or_refuse
from knowlip.dataset import Dataset
from knowlip.jobs.launch import launch, on_sigterm
from knowlip.jobs.ranks import sum_over_ranks, world
from knowlip.models import KnowLIP, load_model, save_model
from knowlip.models.tokenizer import TextTokenizer, pad
from knowlip.objectives import infill_loss
from knowlip.training.augment import AugmentConfig, GreyScale, augment
from knowlip.training.engine import FREE_ENGINE, Engine, EngineConfig, check_engine, processes
from knowlip.training.health import FirstBad
from knowlip.training.resume import read_checkpoint, rows_of_step, write_checkpoint
from knowlip.training.schedule import learning_rate
from knowlip.training.state import load_optimizer_state, load_whole_state, optimizer_state, whole_model, whole_state
from knowlip.training.tiles import load_pixels


@dataclass(frozen=True)
class Example:
    """One question about one tile."""

    tile_id: str
    question: str
    answer: str


@dataclass
class FinetuneConfig(EngineConfig):
    """Everything that decides the result of fine-tuning on questions."""

    dataset: Path
    """Data set whose training tiles are asked about."""
    model: Path
    """Pre-trained model folder."""
    out: Path
    """Run folder; the fine-tuned model is `out/model`."""
    epochs: int = 12
    """Passes over the training tiles."""
    steps: int | None = None
    """The same in steps, instead of epochs."""
    batch_size: int = 32
    """Images a step, of all processes together."""
    questions_per_image: int = 6
    """Questions about each image in a step; the image is encoded once for all of them."""
    learning_rate: float = 2e-5
    min_learning_rate: float = 1e-7
    weight_decay: float = 0.05
    """Not on temperature, biases and norms."""
    label_smoothing: float = 0.1
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    seed: int = 0


FREE = (*FREE_ENGINE, "dataset", "model", "out", "checkpoint_every")


def finetune(config: FinetuneConfig, examples: Sequence[Example]) -> dict[str, Any]:
    """Train on questions about training tiles; a killed run goes on where its last checkpoint was.

    Args:
        config: settings.
        examples: questions with answers; those about tiles outside the training split are refused.

    Returns:
        Steps, last loss, path of the model.

    Raises:
        ValueError: no examples, examples about held-out tiles, loss not finite.
        ChildProcessError: one of several processes was killed or failed.
    """
    if config.epochs < 1 or config.batch_size < 1 or config.checkpoint_every < 1:
        raise ValueError("epochs, batch_size and checkpoint_every must be at least 1.")
    if config.augment.flips or config.augment.rotations:
        raise ValueError("augment.flips and augment.rotations are for pre-training: questions do not turn with tiles.")
    config.augment.check()
    check_engine(config, config.batch_size, smallest=1)
    if not examples:
        raise ValueError("There are no questions about the training tiles to fine-tune on.")
    return launch(_train, processes(config), config, tuple(examples))


def _train(config: FinetuneConfig, examples: Sequence[Example]) -> dict[str, Any]:
    """What every process does."""
    dataset = Dataset(config.dataset)
    tiles = dataset.tiles(split="train").set_index("tile_id")
    if strangers := {example.tile_id for example in examples} - set(tiles.index):
        raise ValueError(f"{len(strangers)} tiles asked about are not in the training split, first {min(strangers)}.")
    model = load_model(config.model)
    engine = Engine(config, unused=True)  # heads of contrast and matching are not asked
    with engine.first_alone():
        same_or_refuse(config.out / "config.yaml", config, FREE)
        batches = QuestionBatches(config, examples, dataset, tiles, model)
    if len(batches.tile_ids) < engine.world * config.accumulate:
        raise ValueError(
            f"Questions about {len(batches.tile_ids)} tiles cannot be shared by {engine.world} processes in "
            f"{config.accumulate} passes: ask about more tiles."
        )
    steps_per_epoch = max(1, len(batches.tile_ids) // config.batch_size)
    total = config.steps or config.epochs * steps_per_epoch

    torch.manual_seed(config.seed)
    model.checkpoint_activations(config.checkpoint_activations)
    module = _Answering(model, config.label_smoothing)
    stepper = engine.setup(module, config.learning_rate, config.weight_decay)
    path = config.out / "checkpoint.pt"
    key = sha256("\n".join(f"{e.tile_id}|{e.question}|{e.answer}" for e in examples).encode())[:16]
    start, loss = 0, torch.zeros(())
    if (state := read_checkpoint(path)) is not None:
        if state["key"] != key:
            raise ValueError(f"{config.out} was trained on other questions: use another output folder, or delete it.")
        start, loss = state["step"], torch.tensor(state["loss"])
        load_whole_state(module, state["weights"])
        load_optimizer_state(module, engine.optimizer, state["optimizer"])
        engine.load_precision_state(state["precision"])
        if engine.first:
            say(f"resuming {config.out} at step {start} of {total}")

    first_bad = FirstBad(engine.device, skipping=config.precision == "fp16")
    stopping: list[bool] = []
    stepper.train()
    numbers = range(start, total)
    with on_sigterm(lambda: stopping.append(True)):
        for step in track(numbers, "fine-tune on questions") if engine.first else numbers:
            parts = []
            for micro in range(config.accumulate):
                torch.manual_seed((config.seed * 1_000_003 + step) * 4096 + micro * engine.world + engine.rank)
                batch = batches.at(step, micro, engine)
                with engine.no_sync(last=micro == config.accumulate - 1):
                    part = stepper(batch)
                    engine.backward(part)
                parts.append(part.detach())
            lr = learning_rate(
                step, total, max(1, total // 20), config.learning_rate, config.min_learning_rate, "cosine",
                steps_per_epoch,
            )  # fmt: skip
            norm = engine.step(lr)
            loss = torch.stack(parts).mean()
            first_bad.note(step, loss, norm)
            save = (step + 1) % config.checkpoint_every == 0 or step + 1 == total
            if save or (stopping and engine.world == 1):
                stop = _agree(engine, first_bad, bool(stopping), total)
                loss = torch.tensor(engine.mean(loss[None])[0])
                state = {
                    "step": step + 1, "loss": float(loss), "key": key, "weights": whole_state(module),
                    "optimizer": optimizer_state(module, engine.optimizer), "precision": engine.precision_state(),
                }  # fmt: skip
                if engine.first:
                    write_checkpoint(path, state)
                if stop and step + 1 < total:
                    raise KeyboardInterrupt
    whole = whole_model(model)
    if whole is not None:
        card = model.card | {"finetuned_on": "questions", "questions": len(examples), **provenance()}
        save_model(whole, config.out / "model", card)
    engine.fabric.barrier()
    return {
        "model": str(config.out / "model"), "steps": total, "questions": len(examples), "last_loss": float(loss),
    }  # fmt: skip


def _agree(engine: Engine, first_bad: FirstBad, stop: bool, total: int) -> bool:
    """Whether any process was asked to stop.

    Raises:
        ValueError: a loss or gradient was not finite somewhere.
    """
    bad, _ = first_bad.read()
    found, earliest = engine.largest([stop, -(total if bad is None else bad)])
    if -earliest < total:
        raise ValueError(f"The loss or its gradient is not finite at step {-earliest}: lower learning_rate.")
    return bool(found)


@dataclass
class Questions:
    """Some images and questions about them, on the training device."""

    pixels_BSS: Tensor
    owner_Q: Tensor
    """Row of the image that each question is about."""
    question: tuple[Tensor, Tensor]
    """[ENC]-framed ids and mask."""
    answer: tuple[Tensor, Tensor]
    """[DEC] answer [SEP], ids and mask."""
    place_M: Tensor
    """Places of real targets in the flattened `answer[0][:, 1:]`."""


class QuestionBatches:
    """Batches by number of step and pass; each process gets its rows of the global batch
    (:mod:`knowlip.jobs.ranks`)."""

    def __init__(
        self, config: FinetuneConfig, examples: Sequence[Example], dataset: Dataset, tiles: Any, model: KnowLIP
    ) -> None:
        self.config = config
        self.tokenizer: TextTokenizer = model.tokenizer
        self.longest = model.config.text.max_length
        self.asked: dict[str, list[Example]] = {}
        for example in examples:
            self.asked.setdefault(example.tile_id, []).append(example)
        self.tile_ids = sorted(self.asked)
        self.scale = GreyScale.of(tiles.loc[self.tile_ids])
        self.pixels = load_pixels(dataset, self.tile_ids, model.config.vision.image_size, config.out / "cache")

    def at(self, step: int, micro: int, engine: Engine) -> Questions:
        """A process's part of a pass of a step."""
        config, tokenizer = self.config, self.tokenizer
        rng = np.random.default_rng([config.seed, 2, step])
        rows = rows_of_step(step, config.batch_size, len(self.tile_ids), config.seed)
        seeds = rng.integers(2**62, size=len(rows))
        chosen = [
            [questions[i] for i in rng.permutation(len(questions))[: config.questions_per_image]]
            for questions in (self.asked[self.tile_ids[row]] for row in rows)
        ]
        size = -(-len(rows) // config.accumulate)
        mine = np.arange(len(rows))[micro * size : (micro + 1) * size][engine.rank :: engine.world]
        examples = [example for at in mine for example in chosen[at]]
        owner = [position for position, at in enumerate(mine) for _ in chosen[at]]
        device = engine.device
        pixels = torch.from_numpy(np.array(self.pixels[rows[mine]])).to(device)
        scale = self.scale.rows(rows[mine]).to(device)
        answer = pad([
            [tokenizer.dec, *tokenizer.ids(example.answer)[: self.longest - 2], tokenizer.sep] for example in examples
        ])  # fmt: skip
        question = pad([
            tokenizer.frame(tokenizer.ids(example.question), self.longest, grounded=True) for example in examples
        ])  # fmt: skip
        return Questions(
            pixels_BSS=augment(pixels, torch.from_numpy(seeds[mine]).to(device), scale, config.augment),
            owner_Q=torch.tensor(owner).to(device),
            question=(question[0].to(device), question[1].to(device)),
            answer=(answer[0].to(device), answer[1].to(device)),
            place_M=answer[1][:, 1:].flatten().nonzero()[:, 0].to(device),
        )


class _Answering(torch.nn.Module):
    """The infilling loss of answers."""

    def __init__(self, model: KnowLIP, label_smoothing: float) -> None:
        super().__init__()
        self.model, self.label_smoothing = model, label_smoothing

    def forward(self, batch: Questions) -> Tensor:
        """Mean over the tokens of this pass in all processes, when it is averaged over them."""
        model = self.model
        tokens, _ = model.encode_images(model.normalise(batch.pixels_BSS))
        memory = [(k[batch.owner_Q], v[batch.owner_Q]) for k, v in model.text_encoder.image_memory(tokens)]
        states, hole = model.decoder_input(*batch.question, memory)
        ids = batch.answer[0]
        written, _ = model.text_decoder(ids[:, :-1], states, batch.question[1], hole_BD=hole)
        logits = model.text_decoder.cls(written.flatten(0, 1).index_select(0, batch.place_M))
        targets = ids[:, 1:].flatten().index_select(0, batch.place_M)
        count = sum_over_ranks(torch.full((), float(len(batch.place_M)), device=targets.device)) / world()
        return infill_loss(logits, targets, self.label_smoothing, count)
