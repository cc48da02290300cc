"""Pre-training in three SCIO stages: one loop, read from top to bottom.

Stage 1 trains on all texts. Before stage 2, screening marks noisy sub-texts, which leave the infilling targets. Before
stage 3 they are written anew, and what is accepted becomes the text to train on. One learning-rate curve spans all
stages. Every decision and every new text is a revision of the data set.

A killed run goes on from its last checkpoint and ends with the same losses: all chance of a step comes from (seed,
step).
"""

import copy
import json
import math
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.utils.tensorboard import SummaryWriter

from knowlip.config import plain, provenance, same_or_refuse
from knowlip.dataset import Dataset
from knowlip.files import sha256, whole_file, write_json
from knowlip.models import KnowLIP, ModelConfig, save_model
from knowlip.models.tokenizer import pad
from knowlip.objectives import PRIOR_LOSS
from knowlip.progress import say
from knowlip.training.corpus import Corpus, model_card
from knowlip.training.holes import HoleConfig, cut_hole
from knowlip.training.resume import read_checkpoint, rows_of_step, write_checkpoint
from knowlip.training.revise import ScioConfig, rewrite_texts, screen_texts
from knowlip.training.schedule import Decay, learning_rate, soft_target_share
from knowlip.training.step import Batch, ObjectiveConfig, PretrainStep
from knowlip.training.tiles import jitter


@dataclass
class PretrainConfig:
    """Everything that decides the result of a pre-training run."""

    dataset: Path
    """An annotated data set."""
    out: Path
    """Run folder: config, log, checkpoint, TensorBoard, final model."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Sizes. `text.vocab_size` is set from the tokenizer."""
    vocabulary: Path | None = None
    """`vocab.txt` of an uncased BERT; without it a small WordPiece vocabulary is trained on the data set's own
    texts."""
    vocab_size: int = 3000
    """Largest size of the trained vocabulary."""
    objectives: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    holes: HoleConfig = field(default_factory=HoleConfig)
    scio: ScioConfig = field(default_factory=ScioConfig)
    stage_epochs: tuple[int, int, int] = (12, 12, 12)
    """Epochs on all texts, on screened texts, on reconstructed texts."""
    stage_steps: tuple[int, int, int] | None = None
    """The same in steps, instead of epochs: bounds the time whatever the size of the data set."""
    batch_size: int = 32
    learning_rate: float = 3e-4
    min_learning_rate: float = 1e-6
    warmup_steps: int = 3000
    decay: Decay = "paper"
    weight_decay: float = 0.05
    """Not on temperature, biases and norms."""
    clip_gradient: float = 1.0
    """Largest gradient norm; 0 for no clipping."""
    view_drop: float = 0.0
    """Probability of leaving each sub-text out of a pair's text in ITC and ITM; makes SCIO's shortened texts
    familiar."""
    gain_jitter: float = 4.0
    """Grey levels, see :func:`knowlip.training.tiles.jitter`."""
    speckle_jitter: float = 6.0
    """Grey levels."""
    seed: int = 0
    accelerator: str = "auto"
    """Of Lightning Fabric: auto, cpu, cuda, mps."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Of Lightning Fabric."""
    log_every: int = 10
    """Steps between log lines."""
    checkpoint_every: int = 200
    """Steps between checkpoints; stages end with one too."""


FREE = ("accelerator", "log_every", "checkpoint_every", "dataset", "out")
"""Fields that may differ between a run and its continuation."""


def pretrain(config: PretrainConfig, sentences: Sequence[str] = ()) -> dict[str, Any]:
    """Train, resume, or (when the run is finished) report.

    Args:
        config: settings.
        sentences: more text for a trained vocabulary to cover, e.g. the questions that the model will be asked later.

    Returns:
        Steps, revision, last losses, seconds, pairs a second, path of the model, screening on planted noise.

    Raises:
        ValueError: data set missing or not annotated, another config in `out`, loss not finite.
    """
    _check(config)
    dataset = Dataset(config.dataset)
    corpus = Corpus.open(dataset, config, sentences)
    decisive = {key: value for key, value in plain(config).items() if key not in FREE}
    run_id = sha256(json.dumps([decisive, dataset.fingerprint, corpus.text_key], sort_keys=True).encode())[:8]
    run = Run(config, dataset, corpus, f"{config.out.name}-{run_id}")  # settings that cannot work are not saved
    same_or_refuse(config.out / "config.yaml", config, FREE)
    write_json(config.out / "provenance.json", provenance() | {"dataset_fingerprint": dataset.fingerprint})
    run.resume()
    return run.train()


class Run:
    """One pre-training run: what is trained, where it stands, how it goes on."""

    def __init__(self, config: PretrainConfig, dataset: Dataset, corpus: Corpus, name: str) -> None:
        self.config, self.dataset, self.corpus, self.name = config, dataset, corpus, name
        torch.manual_seed(config.seed)
        self.fabric = Fabric(accelerator=config.accelerator, devices=1, precision=config.precision)
        sizes = copy.deepcopy(config.model)
        sizes.text.vocab_size = len(corpus.tokenizer)
        self.objectives = PretrainStep(KnowLIP(sizes, corpus.tokenizer), config.objectives)
        groups = _decay_groups(self.objectives.model, config.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.999), fused=True)
        self.stepper, self.optimizer = self.fabric.setup(self.objectives, optimizer)
        self.steps_per_epoch = max(1, len(corpus.tile_ids) // config.batch_size)
        lengths = config.stage_steps or [epochs * self.steps_per_epoch for epochs in config.stage_epochs]
        self.stage_ends = [int(end) for end in np.cumsum(lengths)]
        self.step, self.revision, self.seconds = 0, 0, 0.0
        self.started, self.stopping = time.monotonic(), False

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def train(self) -> dict[str, Any]:
        config, total = self.config, self.stage_ends[-1]
        last: dict[str, Any] = {}
        self.started = time.monotonic() - self.seconds
        writer = SummaryWriter(str(config.out / "tensorboard"), purge_step=self.step)
        with _on_signal(self._stop):
            mark, marked_step = time.monotonic(), self.step
            while self.step < total:
                for stage in (2, 3):
                    if self.step == self.stage_ends[stage - 2]:
                        self._enter_stage(stage)
                        mark, marked_step = time.monotonic(), self.step
                losses = self._train_step()
                self.step += 1
                if self.step % config.log_every == 0 or self.step == total:
                    elapsed = time.monotonic() - mark
                    pairs_per_s = (self.step - marked_step) * config.batch_size / max(1e-9, elapsed)
                    mark, marked_step = time.monotonic(), self.step
                    last = self._log(losses, pairs_per_s, writer)
                if self.stopping or self.step % config.checkpoint_every == 0 or self.step in self.stage_ends:
                    self._checkpoint()
                    if self.stopping:
                        writer.close()
                        raise KeyboardInterrupt
        writer.close()
        return self._finish(last)

    @property
    def stage(self) -> int:
        """1, 2 or 3."""
        return 1 + sum(self.step >= end for end in self.stage_ends[:2])

    def _train_step(self) -> dict[str, float]:
        config, objectives = self.config, self.config.objectives
        torch.manual_seed(config.seed * 1_000_003 + self.step)
        lr = learning_rate(
            self.step, self.stage_ends[-1], config.warmup_steps, config.learning_rate, config.min_learning_rate,
            config.decay, self.steps_per_epoch,
        )  # fmt: skip
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        alpha = soft_target_share(self.step, round(objectives.alpha_epochs * self.steps_per_epoch), objectives.alpha)
        batch = self._batch()
        self.stepper.train()
        self.objectives.twin.eval()
        losses, features = self.stepper(batch, alpha)
        self.fabric.backward(losses["loss"])
        norm = None
        if config.clip_gradient:
            norm = self.fabric.clip_gradients(self.stepper, self.optimizer, max_norm=config.clip_gradient)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.objectives.finish([features], objectives.momentum)
        result = {name: float(loss.detach()) for name, loss in losses.items()}
        if not math.isfinite(result["loss"]):
            raise ValueError(f"The loss is not finite at step {self.step}: lower learning_rate or raise warmup_steps.")
        return result | {"lr": lr, "gradient_norm": 0.0 if norm is None else float(norm)}

    def _batch(self) -> Batch:
        """The batch of this step; the same whenever and wherever it is made."""
        config, corpus, tokenizer = self.config, self.corpus, self.corpus.tokenizer
        rows = rows_of_step(self.step, config.batch_size, len(corpus.tile_ids), config.seed)
        rng = np.random.default_rng([config.seed, 2, self.step])
        longest = config.model.text.max_length
        texts = [corpus.texts[row] for row in rows]
        pixels = jitter(torch.from_numpy(corpus.pixels[rows]), rng, config.gain_jitter, config.speckle_jitter)
        framed = [tokenizer.frame(text.view(rng, config.view_drop), longest) for text in texts]
        infilled = texts[: max(1, round(len(texts) * config.objectives.infill_share))]
        holes = [cut_hole(text, tokenizer.mask, rng, config.holes) for text in infilled]
        return Batch(
            pixels_BSS=pixels,
            image_id_B=torch.from_numpy(rows.astype(np.int64)),
            text_hash_B=torch.tensor([text.hash for text in texts]),
            text=pad(framed),
            context=pad([tokenizer.frame(hole.context, longest, grounded=True) for hole in holes]),
            content=pad([[tokenizer.dec, *hole.content[: longest - 2], tokenizer.sep] for hole in holes]),
            uniform_B2=torch.from_numpy(rng.random((len(rows), 2))),
        ).to(self.fabric.device)

    # ---- SCIO -------------------------------------------------------------------------------------------------------

    def _enter_stage(self, stage: int) -> None:
        """Screen before stage 2, reconstruct before stage 3; a revision that this very run wrote before is used
        again."""
        label = f"{self.name}-stage{stage}"
        revision = self.dataset.find_revision(label)
        if revision is None:
            say(f"stage {stage}: {'screening' if stage == 2 else 'reconstruction'} (revision of {label})")
            revise = screen_texts if stage == 2 else rewrite_texts
            rng = np.random.default_rng([self.config.seed, 3, stage])
            rows, figures = revise(self.objectives.twin, self.corpus, self.config.scio, rng)
            revision = self.dataset.append_revision(rows, label, parent=self.revision) if len(rows) else self.revision
            write_json(self.config.out / f"scio-stage{stage}.json", figures)
        self.revision = revision
        self.corpus.read_texts(self.dataset, revision)

    # ---- state ------------------------------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        self.seconds = time.monotonic() - self.started
        state = {
            "step": self.step, "revision": self.revision, "seconds": self.seconds,
            "stepper": self.objectives.state_dict(), "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip
        write_checkpoint(self.config.out / "checkpoint.pt", state)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one; log lines behind it are dropped."""
        path, log = self.config.out / "checkpoint.pt", self.config.out / "log.jsonl"
        state = read_checkpoint(path, self.fabric.device)
        if state is not None:
            self.step, self.revision, self.seconds = state["step"], state["revision"], state["seconds"]
            self.objectives.load_state_dict(state["stepper"])
            self.optimizer.load_state_dict(state["optimizer"])
            say(f"resuming {self.config.out} at step {self.step} of {self.stage_ends[-1]}")
            self.corpus.read_texts(self.dataset, self.revision)
        if log.is_file():
            lines = [line for line in log.read_text().splitlines() if _step_of(line) <= self.step]
            with whole_file(log) as part:
                part.write_text("".join(f"{line}\n" for line in lines if _step_of(line) >= 0))

    def _stop(self) -> None:
        self.stopping = True

    # ---- what a person sees ------------------------------------------------------------------------------------------

    def _log(self, losses: dict[str, float], pairs_per_s: float, writer: SummaryWriter) -> dict[str, Any]:
        total = self.stage_ends[-1]
        left = (total - self.step) * self.config.batch_size / pairs_per_s
        line = {
            "step": self.step, "stage": self.stage if self.step < total else 3,
            "epoch": self.step / self.steps_per_epoch, **losses, "itm_prior": PRIOR_LOSS,
            "tau": float(self.objectives.model.temp.detach()), "pairs_per_s": pairs_per_s,
            "revision": self.revision,
        }  # fmt: skip
        with (self.config.out / "log.jsonl").open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        for name in ("loss", "itc", "itm", "infill", "tau", "lr", "gradient_norm", "pairs_per_s"):
            writer.add_scalar(name, line[name], self.step)
        say(
            f"step {self.step}/{total} stage {line['stage']}  itc {losses['itc']:.3f}  itm {losses['itm']:.3f} "
            f"(prior {PRIOR_LOSS:.4f})  infill {losses['infill']:.3f}  tau {line['tau']:.4f}  lr {losses['lr']:.1e}  "
            f"{pairs_per_s:.0f} pairs/s  {int(left // 60)}:{int(left % 60):02d} left"
        )
        return line

    def _finish(self, last: dict[str, Any]) -> dict[str, Any]:
        """Save the model with its card and say what was reached."""
        card = model_card(self.dataset, self.corpus, self.revision) | {"run": self.name, **provenance()}
        save_model(self.objectives.model, self.config.out / "model", card)
        if not last:
            lines = (self.config.out / "log.jsonl").read_text().splitlines()
            last = json.loads(lines[-1])
        return {
            "model": str(self.config.out / "model"), "run": self.name, "steps": self.step, "revision": self.revision,
            "tiles": len(self.corpus.tile_ids), "vocabulary": len(self.corpus.tokenizer), "seconds": self.seconds,
            "pairs_per_s": self.step * self.config.batch_size / max(1e-9, self.seconds), "last": last,
        }  # fmt: skip


def _decay_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices only, not on temperature, biases and norms."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def _check(config: PretrainConfig) -> None:
    if config.batch_size < 2:
        raise ValueError("batch_size must be at least 2: contrast and matching need another pair.")
    lengths = config.stage_steps or config.stage_epochs
    if sum(lengths) < 1 or min(lengths) < 0:
        raise ValueError("stage_epochs (or stage_steps) must be three numbers >= 0 that are not all 0.")
    if lengths[0] < 1 and (lengths[1] or lengths[2]):
        raise ValueError("Stage 1 needs at least one step: screening needs a trained model.")


def _step_of(line: str) -> int:
    """Step of a log line; -1 when the line was cut by a kill."""
    try:
        return int(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return -1


class _on_signal:
    """While active, SIGTERM asks the loop to checkpoint and stop (only in the main thread)."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop

    def __enter__(self) -> None:
        try:
            self.old = signal.signal(signal.SIGTERM, lambda *_: self.stop())
        except ValueError:  # not the main thread: no signals to catch here
            self.old = None

    def __exit__(self, *_: object) -> None:
        if self.old is not None:
            signal.signal(signal.SIGTERM, self.old)
