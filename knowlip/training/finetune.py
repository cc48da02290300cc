"""Fine-tuning on questions: the encoder reads a question with the image, the decoder writes the answer.

The recipe is BLIP-VQA's with the infilling loss: a question is a context, its answer the content of the hole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from knowlip.config import provenance, same_or_refuse
from knowlip.dataset import Dataset
from knowlip.files import sha256
from knowlip.models import KnowLIP, load_model, save_model
from knowlip.models.tokenizer import pad
from knowlip.objectives import infill_loss
from knowlip.progress import say, track
from knowlip.training.resume import read_checkpoint, rows_of_step, write_checkpoint
from knowlip.training.schedule import learning_rate
from knowlip.training.tiles import jitter, load_pixels


@dataclass(frozen=True)
class Example:
    """One question about one tile."""

    tile_id: str
    question: str
    answer: str


@dataclass
class FinetuneConfig:
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
    """Images a step."""
    questions_per_image: int = 6
    """Questions about each image in a step; the image is encoded once for all of them."""
    learning_rate: float = 2e-5
    min_learning_rate: float = 1e-7
    weight_decay: float = 0.05
    label_smoothing: float = 0.1
    gain_jitter: float = 4.0
    """Grey levels."""
    speckle_jitter: float = 6.0
    """Grey levels."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    seed: int = 0
    accelerator: str = "auto"
    """Of Lightning Fabric."""


def finetune(config: FinetuneConfig, examples: Sequence[Example]) -> dict[str, Any]:
    """Train on questions about training tiles; a killed run goes on where its last checkpoint was.

    Args:
        config: settings.
        examples: questions with answers; those about tiles outside the training split are refused.

    Returns:
        Steps, last loss, path of the model.

    Raises:
        ValueError: no examples, examples about held-out tiles, loss not finite.
    """
    if config.epochs < 1 or config.batch_size < 1:
        raise ValueError("epochs and batch_size must be at least 1.")
    dataset = Dataset(config.dataset)
    model = load_model(config.model)
    train = set(dataset.tiles(split="train")["tile_id"])
    if not examples:
        raise ValueError("There are no questions about the training tiles to fine-tune on.")
    if strangers := {example.tile_id for example in examples} - train:
        raise ValueError(f"{len(strangers)} tiles asked about are not in the training split, first {min(strangers)}.")
    same_or_refuse(config.out / "config.yaml", config, ("accelerator", "dataset", "model", "out", "checkpoint_every"))
    asked: dict[str, list[Example]] = {}
    for example in examples:
        asked.setdefault(example.tile_id, []).append(example)
    tile_ids = sorted(asked)
    pixels = load_pixels(dataset, tile_ids, model.config.vision.image_size, config.out / "cache")
    steps_per_epoch = max(1, len(tile_ids) // config.batch_size)
    total = config.steps or config.epochs * steps_per_epoch

    torch.manual_seed(config.seed)
    fabric = Fabric(accelerator=config.accelerator, devices=1)
    module = _Answering(model)
    optimizer = torch.optim.AdamW(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    stepper, optimizer = fabric.setup(module, optimizer)
    checkpoint = config.out / "checkpoint.pt"
    key = sha256("\n".join(f"{e.tile_id}|{e.question}|{e.answer}" for e in examples).encode())[:16]
    start, loss = 0, float("nan")
    if (state := read_checkpoint(checkpoint)) is not None:
        if state["key"] != key:
            raise ValueError(f"{config.out} was trained on other questions: use another output folder, or delete it.")
        start, loss = state["step"], state["loss"]
        module.load_state_dict(state["module"])
        optimizer.load_state_dict(state["optimizer"])
        say(f"resuming {config.out} at step {start} of {total}")

    stepper.train()
    for step in track(range(start, total), "fine-tune on questions"):
        torch.manual_seed(config.seed * 1_000_003 + step)
        rng = np.random.default_rng([config.seed, 2, step])
        rows = rows_of_step(step, config.batch_size, len(tile_ids), config.seed)
        batch = jitter(torch.from_numpy(pixels[rows]), rng, config.gain_jitter, config.speckle_jitter)
        owner, chosen = [], []
        for position, row in enumerate(rows):
            questions = asked[tile_ids[row]]
            for i in rng.permutation(len(questions))[: config.questions_per_image]:
                owner.append(position)
                chosen.append(questions[i])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(
                step, total, max(1, total // 20), config.learning_rate, config.min_learning_rate, "cosine",
                steps_per_epoch,
            )  # fmt: skip
        value = stepper(
            batch.to(fabric.device), torch.tensor(owner, device=fabric.device), chosen, config.label_smoothing
        )
        fabric.backward(value)
        fabric.clip_gradients(stepper, optimizer, max_norm=1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss = float(value.detach())
        if not np.isfinite(loss):
            raise ValueError(f"The loss is not finite at step {step}: lower learning_rate.")
        if (step + 1) % config.checkpoint_every == 0 or step + 1 == total:
            state = {"step": step + 1, "loss": loss, "key": key,
                     "module": module.state_dict(), "optimizer": optimizer.state_dict()}  # fmt: skip
            write_checkpoint(checkpoint, state)
    card = model.card | {"finetuned_on": "questions", "questions": len(examples), **provenance()}
    save_model(model, config.out / "model", card)
    return {"model": str(config.out / "model"), "steps": total, "questions": len(examples), "last_loss": loss}


class _Answering(torch.nn.Module):
    """The infilling loss of answers."""

    def __init__(self, model: KnowLIP) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, pixels: torch.Tensor, owner: torch.Tensor, examples: Sequence[Example], label_smoothing: float
    ) -> torch.Tensor:
        model, tokenizer = self.model, self.model.tokenizer
        tokens, _ = model.encode_images(model.normalise(pixels))
        memory = [(k[owner], v[owner]) for k, v in model.text_encoder.image_memory(tokens)]
        ids, keep = model.frame([example.question for example in examples], grounded=True)
        states, hole = model.decoder_input(ids, keep, memory)
        answers, real = pad(
            [[tokenizer.dec, *tokenizer.ids(example.answer), tokenizer.sep] for example in examples], model.device
        )
        written, _ = model.text_decoder(answers[:, :-1], states, keep, hole_BD=hole)
        real = real[:, 1:]
        return infill_loss(model.text_decoder.cls(written[real]), answers[:, 1:][real], label_smoothing)
