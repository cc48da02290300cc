"""The loop of pre-training, read from top to bottom: the same in every process of a training, on any device."""

import copy
import json
import shutil
import time
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from knowlip.base.files import whole_file, write_json
from knowlip.base.progress import say
from knowlip.base.provenance import provenance
from knowlip.base.settings import plain
from knowlip.dataset import Dataset
from knowlip.dataset.figures import write_figures
from knowlip.jobs.launch import on_sigterm
from knowlip.models import KnowLIP, save_model
from knowlip.models.weights import initialise
from knowlip.models.weights.ledger import describe
from knowlip.objectives import PRIOR_LOSS
from knowlip.scio.passes import Stage, decide, stages
from knowlip.tasks.pretrain_step import PretrainStep
from knowlip.training.batch import Batch
from knowlip.training.batches import Batches
from knowlip.training.corpus import Corpus, model_card
from knowlip.training.engine import Engine
from knowlip.training.health import FirstBad, Health, Pace, memory_gb, peak_of
from knowlip.training.loggers import Logger, open_loggers
from knowlip.training.resume import read_checkpoint, read_log, write_checkpoint
from knowlip.training.schedule import learning_rate, soft_target_share
from knowlip.training.state import (
    load_optimizer_state,
    load_whole_state,
    optimizer_state,
    whole_model,
    whole_state,
)

if TYPE_CHECKING:
    from knowlip.tasks.pretrain import PretrainConfig

LOSSES = ("loss", "itc", "itm", "infill")
CURVES = (
    *LOSSES, "tau", "lr", "gradient_norm", "pairs_per_s", "mfu", "data_wait", "memory_gb", "queue_duplicates",
    "skipped_steps",
)  # fmt: skip


class Run:
    """One pre-training run: what is trained, where it stands, how it goes on."""

    def __init__(self, config: "PretrainConfig", engine: Engine, dataset: Dataset, corpus: Corpus, name: str) -> None:
        self.config, self.engine, self.dataset, self.corpus, self.name = config, engine, dataset, corpus, name
        torch.manual_seed(config.seed)
        sizes = copy.deepcopy(config.model)
        sizes.text.vocab_size = len(corpus.tokenizer)
        self.model = KnowLIP(sizes, corpus.tokenizer)
        goes_on = (config.out / "checkpoint.pt").is_file()
        self.weights = {} if goes_on else initialise(self.model, config.init)
        self.model.checkpoint_activations(config.checkpoint_activations)
        self.objectives = PretrainStep(self.model, config.objectives)
        self.stepper = engine.setup(self.objectives, config.learning_rate, config.weight_decay)
        self.batches = self._batches()
        self.steps_per_epoch = self.batches.steps_per_epoch
        lengths = config.stage_steps or [epochs * self.steps_per_epoch for epochs in config.stage_epochs]
        self.stages = stages(lengths, config.scio.iterations)
        self.total = self.stages[-1].end
        self.step, self.revision, self.seconds = 0, 0, 0.0
        self.started, self.stopping = time.monotonic(), False
        self.first_bad = FirstBad(engine.device, skipping=config.precision == "fp16")
        self.health = Health(config.warmup_steps, config.clip_gradient)
        self.pace = Pace()
        self.peak = peak_of(self.model, engine.device, config.precision)
        self.loggers: list[Logger] = []

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def train(self) -> dict[str, Any]:
        """Train to the end and save the model.

        Raises:
            ValueError: a loss or gradient is not finite.
            KeyboardInterrupt: stopped by SIGTERM, after a checkpoint.
        """
        self.started = time.monotonic() - self.seconds
        if self.engine.first:
            settings = plain(self.config)
            self.loggers = open_loggers(self.config.loggers, self.config.out, self.name, settings, self.step)
        try:
            with on_sigterm(self._stop):
                for before, stage in zip([Stage(0, "train", 0), *self.stages], self.stages):
                    if self.step == before.end < self.total and stage.action != "train":
                        self._enter(stage)
                    if self.step < stage.end:
                        self._train_until(stage.end)
        finally:
            for logger in self.loggers:
                logger.close()
        return self._finish()

    def _train_until(self, end: int) -> None:
        """Train to the end of a stage."""
        config = self.config
        self.pace.restart(self.step)
        with closing(self.batches.stream(self.step, end)) as stream:
            for micro_batches in self.pace.waiting_for(stream):
                losses, norm, lr = self._train_step(micro_batches)
                if self.peak:
                    self.pace.computed(sum(self.objectives.flops(batch) for batch in micro_batches))
                self.step += 1
                log = self.step % config.log_every == 0 or self.step == self.total
                keep = self.step in config.keep_steps
                save = self.step % config.checkpoint_every == 0 or self.step == end or keep
                if log or save or (self.stopping and self.engine.world == 1):
                    stop, skipped = self._agree()
                    if log:
                        self._log(losses, norm, lr, skipped)
                    if save or stop:
                        self._checkpoint()
                    if keep and self.engine.first:
                        with whole_file(config.out / f"checkpoint-{self.step}.pt") as part:
                            shutil.copyfile(config.out / "checkpoint.pt", part)
                    if stop:
                        raise KeyboardInterrupt

    def _train_step(self, micro_batches: Sequence[Batch]) -> tuple[Tensor, Tensor, float]:
        """One step of the optimiser. Returns the losses and the gradient norm, still on the device, and the rate."""
        config, engine, objectives = self.config, self.engine, self.config.objectives
        lr = learning_rate(
            self.step, self.total, config.warmup_steps, config.learning_rate, config.min_learning_rate,
            config.decay, self.steps_per_epoch,
        )  # fmt: skip
        alpha = soft_target_share(self.step, round(objectives.alpha_epochs * self.steps_per_epoch), objectives.alpha)
        self.stepper.train()
        self.objectives.twin.eval()
        all_losses, all_features = [], []
        for micro, cpu_batch in enumerate(micro_batches):
            torch.manual_seed(self._dropout_seed(micro))
            batch = self.batches.deliver(cpu_batch, self.step, micro, engine.device)
            with engine.no_sync(last=micro == len(micro_batches) - 1):
                losses, features = self.stepper(batch, alpha)
                engine.backward(losses["loss"])
            all_losses.append(torch.stack([losses[name].detach().float() for name in LOSSES]))
            all_features.append(features)
        norm = engine.step(lr)
        self.objectives.finish(all_features, objectives.momentum)
        mean = torch.stack(all_losses).mean(0)
        self.first_bad.note(self.step, mean[0], norm)
        return mean, norm, lr

    def _dropout_seed(self, micro: int) -> int:
        """Every step, pass and process drops others."""
        part = micro * self.engine.world + self.engine.rank
        return (self.config.seed * 1_000_003 + self.step) * 4096 + part

    def _agree(self) -> tuple[bool, int]:
        """What the processes decide together, now and then, because it makes the device's queue run empty: whether to
        stop, and how many steps were skipped.

        Raises:
            ValueError: a loss or gradient was not finite somewhere.
        """
        bad, skipped = self.first_bad.read()
        never = self.total
        stop, earliest, skipped = self.engine.largest([self.stopping, -(never if bad is None else bad), skipped])
        if -earliest < never:
            self._give_up(-earliest)
        return bool(stop), skipped

    def _give_up(self, step: int) -> None:
        """Save the batch of a step whose loss or gradient was not finite, and stop."""
        path = self.config.out / f"nonfinite-step-{step}.pt"
        if self.engine.first:
            whole = Batches(self.corpus, self.config, accumulate=self.config.accumulate)
            parts = [whole.deliver(whole.at(step, i), step, i, "cpu") for i in range(self.config.accumulate)]
            with whole_file(path) as part:
                torch.save({"step": step, "revision": self.revision, "batches": [vars(batch) for batch in parts]}, part)
        raise ValueError(
            f"The loss or its gradient is not finite at step {step} (its batch: {path}; the last checkpoint is as it "
            "was): lower learning_rate, raise warmup_steps or use another precision, in a new output folder."
        )

    # ---- SCIO -------------------------------------------------------------------------------------------------------

    def _enter(self, stage: Stage) -> None:
        """Screen or reconstruct: the first process does it with the momentum model; a revision that this very run
        wrote before is used again."""
        label = f"{self.name}-stage{stage.number}"
        found = self.dataset.find_revision(label) if self.engine.first else None
        found = self.engine.fabric.broadcast(found)
        if found is None:
            twin = whole_model(self.objectives.twin)
            if twin is not None:
                say(f"stage {stage.number}: {stage.action} (revision of {label})")
                rng = np.random.default_rng([self.config.seed, 3, stage.number])
                rows, figures = decide(stage.action, twin, self.corpus, self.config.scio, rng)
                found = self.revision
                if len(rows):
                    found = self.dataset.append_revision(rows, label, parent=self.revision)
                    write_figures(self.dataset.path, found, figures)
                write_json(self.config.out / f"scio-stage{stage.number}.json", figures)
            found = self.engine.fabric.broadcast(found)
        assert found is not None
        self.revision = found
        self._read_texts()

    def _read_texts(self) -> None:
        self.corpus.read_texts(self.dataset, self.revision)
        self.batches = self._batches()

    def _batches(self) -> Batches:
        return Batches(self.corpus, self.config, self.engine.rank, self.engine.world, self.config.accumulate)

    # ---- state ------------------------------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        """Write everything that the training needs to go on, for any number of processes."""
        self.seconds = time.monotonic() - self.started
        state = {
            "step": self.step, "revision": self.revision, "seconds": self.seconds,
            "weights": whole_state(self.objectives),
            "optimizer": optimizer_state(self.objectives, self.engine.optimizer),
            "precision": self.engine.precision_state(),
        }  # fmt: skip
        if self.engine.first:
            write_checkpoint(self.config.out / "checkpoint.pt", state)

    def tell_weights(self) -> None:
        """Say and keep which foreign weights the model starts from."""
        if self.weights:
            write_json(self.config.out / "weights.json", self.weights)
            for report in self.weights.values():
                say(describe(report))

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one; log lines behind it are dropped."""
        state = read_checkpoint(self.config.out / "checkpoint.pt")
        if state is not None:
            self.step, self.revision, self.seconds = state["step"], state["revision"], state["seconds"]
            load_whole_state(self.objectives, state["weights"])
            load_optimizer_state(self.objectives, self.engine.optimizer, state["optimizer"])
            self.engine.load_precision_state(state["precision"])
            self._read_texts()
            if self.engine.first:
                say(f"resuming {self.config.out} at step {self.step} of {self.total}")
        if self.engine.first:
            log = self.config.out / "log.jsonl"
            lines = [line for line in read_log(log) if line["step"] <= self.step]
            with whole_file(log) as part:
                part.write_text("".join(f"{json.dumps(line)}\n" for line in lines))

    def _stop(self) -> None:
        self.stopping = True

    # ---- what a person sees ------------------------------------------------------------------------------------------

    def _log(self, losses: Tensor, norm: Tensor, lr: float, skipped: int) -> None:
        """One line: to the log, the curves and the screen. Every process must call it."""
        values = self.engine.mean(losses)
        if not self.engine.first:
            return
        pace = self.pace.of_steps(self.step)
        line: dict[str, Any] = {
            "step": self.step, "stage": self._stage(), "epoch": self.step / self.steps_per_epoch,
            **dict(zip(LOSSES, values)), "itm_prior": PRIOR_LOSS,
            "tau": float(self.model.temp.detach()), "lr": lr, "gradient_norm": float(norm),
            "pairs_per_s": self.config.batch_size / pace.seconds, "data_wait": pace.waiting,
            "mfu": pace.flops_per_s / self.peak if self.peak else None,
            "memory_gb": memory_gb(self.engine.device), "queue_duplicates": self.objectives.queue.duplicates(),
            "skipped_steps": skipped, "revision": self.revision,
        }  # fmt: skip
        with (self.config.out / "log.jsonl").open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        for logger in self.loggers:
            logger.log({name: line[name] for name in CURVES if line[name] is not None}, self.step)
        left = (self.total - self.step) * pace.seconds
        busy = "" if line["mfu"] is None else f"mfu {line['mfu']:.0%}  "
        say(
            f"step {self.step}/{self.total} stage {line['stage']}  itc {line['itc']:.3f}  itm {line['itm']:.3f} "
            f"(prior {PRIOR_LOSS:.4f})  infill {line['infill']:.3f}  tau {line['tau']:.4f}  norm {float(norm):.2f}  "
            f"lr {lr:.1e}  {line['pairs_per_s']:.0f} pairs/s  {busy}data {pace.waiting:.0%}  "
            f"{line['memory_gb']:.1f} GB  "
            f"{int(left // 60)}:{int(left % 60):02d} left"
        )
        for sentence in self.health.warnings(line):
            say(f"  warning: {sentence}")

    def _stage(self) -> int:
        """Number of the stage that trains next; of the last one at the end."""
        return next((stage.number for stage in self.stages if self.step < stage.end), self.stages[-1].number)

    def _finish(self) -> dict[str, Any]:
        """Save the model with its card and say what was reached."""
        model = whole_model(self.model)
        result: dict[str, Any] = {}
        if model is not None:
            card = model_card(self.dataset, self.corpus, self.revision) | {"run": self.name, **provenance()}
            save_model(model, self.config.out / "model", card)
            result = {
                "model": str(self.config.out / "model"), "run": self.name, "steps": self.step,
                "revision": self.revision, "tiles": len(self.corpus.tile_ids),
                "vocabulary": len(self.corpus.tokenizer), "seconds": self.seconds,
                "pairs_per_s": self.step * self.config.batch_size / max(1e-9, self.seconds),
                "last": (read_log(self.config.out / "log.jsonl") or [{}])[-1],
            }  # fmt: skip
        return self.engine.fabric.broadcast(result)
