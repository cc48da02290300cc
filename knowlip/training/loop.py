"""The loop of every training, read from top to bottom: the same in every process, on any device, for any task.

It is the only place that calls `backward`. What is trained is a :class:`~knowlip.training.task.Task`; where and how is
:mod:`knowlip.training.engine`. A killed run goes on from its last checkpoint and ends with the same losses: all chance
of a step comes from (seed, step, row).
"""

import json
import shutil
import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from typing import Any, cast

import torch
from torch import Tensor

from knowlip.base.files import sha256, whole_file, write_json
from knowlip.base.progress import say
from knowlip.base.provenance import provenance
from knowlip.base.settings import plain, same_or_refuse, without
from knowlip.jobs.launch import launch, on_sigterm
from knowlip.jobs.store import alone
from knowlip.training.engine import FREE_ENGINE, Engine, check_engine, processes
from knowlip.training.health import FirstBad, Health, Throughput, memory_gb, peak_of
from knowlip.training.loggers import Logger, check_loggers, open_loggers
from knowlip.training.resume import Checkpoint, read_checkpoint, read_log, write_checkpoint
from knowlip.training.schedule import check_rates, check_warmup, cosine, learning_rate, warmup_of
from knowlip.training.settings import TrainingConfig
from knowlip.training.state import load_optimizer_state, load_whole_state, optimizer_state, whole_state
from knowlip.training.task import Opener, Task

FREE = (*FREE_ENGINE, "log_every", "checkpoint_every", "keep_steps", "loggers", "dataset", "out")
"""Settings that may differ between a run and its continuation, whatever the task."""


def train(
    open_task: Opener, config: TrainingConfig, *arguments: Any, unused: bool = False, smallest: int = 1
) -> dict[str, Any]:
    """Train, resume, or (when the run is finished) report.

    Args:
        open_task: makes the task in each process.
        config: settings.
        arguments: more for `open_task`.
        unused: some weights get no gradient.
        smallest: fewest items that a pass of a process can compute.

    Returns:
        What the task's `finish` says.

    Raises:
        ValueError: settings that cannot work, another config in `out`, a loss that is not finite.
        ChildProcessError: one of several processes was killed or failed.
    """
    check_engine(config, config.batch_size, smallest)
    check_loggers(config.loggers)
    if config.log_every < 1 or config.checkpoint_every < 1:
        raise ValueError("log_every and checkpoint_every must be at least 1.")
    return launch(_in_process, processes(config), open_task, config, arguments, unused)


def _in_process(open_task: Opener, config: TrainingConfig, arguments: tuple[Any, ...], unused: bool) -> dict[str, Any]:
    """What every process does."""
    engine = Engine(config, unused)
    torch.manual_seed(config.seed)  # of new weights
    with engine.first_alone():  # what the first process caches, the others find
        task = open_task(config, engine, *arguments)
    loop = Loop(task, config, engine)
    cautions = []
    if not (config.out / "checkpoint.pt").is_file():  # one that has begun goes on as it was begun
        check_rates(config.learning_rate, config.min_learning_rate)
        cautions = [*check_warmup(_warmup(task, config), task.total), *task.cautions()]
    busy = f"Another process trains in {config.out}: let it end, or use another output folder."
    with alone(config.out / "lock", busy) if engine.first else nullcontext():
        with engine.first_alone():  # after all that could fail: settings that cannot work are not saved
            same_or_refuse(config.out / "config.yaml", config, (*FREE, *task.free))
            if engine.first:
                write_json(config.out / "provenance.json", provenance() | {"data": task.identity()})
                for sentence in cautions:
                    say(f"warning: {sentence}")
                task.begin()
        loop.resume()
        return loop.train()


def run_name(config: TrainingConfig, task: Task[Any]) -> str:
    """The run's name: the same for the same settings and data, in loggers, model cards and revisions of texts."""
    decisive = without(plain(config), (*FREE, *task.free))
    key = sha256(json.dumps([decisive, *task.identity()], sort_keys=True).encode())[:8]
    return f"{config.out.name}-{key}"


def _warmup(task: Task[Any], config: TrainingConfig) -> int | None:
    """Steps of warm-up that were asked for; None for the usual share."""
    return config.warmup_steps if task.warmup_steps is None else task.warmup_steps


class Loop:
    """One training run in one process: where it stands and how it goes on."""

    def __init__(self, task: Task[Any], config: TrainingConfig, engine: Engine) -> None:
        self.task, self.config, self.engine = task, config, engine
        self.module = task.module
        self.stepper = engine.setup(task.module, config.learning_rate, config.weight_decay)
        self.batches = task.batches(engine.rank, engine.world)
        self.total = task.total
        self.warmup = warmup_of(_warmup(task, config), self.total)
        self.step, self.seconds = 0, 0.0
        self.started, self.stopping = time.monotonic(), False
        self.first_bad = FirstBad(engine.device, skipping=config.precision == "fp16")
        self.health = Health(self.warmup, config.clip_gradient)
        self.throughput = Throughput()
        self.peak = peak_of(engine.device, config.precision)
        self.loggers: list[Logger] = []

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def train(self) -> dict[str, Any]:
        """Train to the end and save the model.

        Raises:
            ValueError: a loss or gradient is not finite.
            KeyboardInterrupt: stopped by SIGTERM, after a checkpoint.
        """
        config, task = self.config, self.task
        self.started = time.monotonic() - self.seconds
        if self.engine.first:
            name = run_name(config, task)
            self.loggers = open_loggers(config.loggers, config.out, name, plain(config), self.step)
        try:
            with on_sigterm(self._stop):
                begin = 0
                for number, end in enumerate(task.ends):
                    # A part is entered at its very first step only: a run that stopped inside it has entered before.
                    if self.step == begin < self.total:
                        task.enter(number, self.step)
                        self.batches = task.batches(self.engine.rank, self.engine.world)
                    if self.step < end:
                        self._train_until(end)
                    begin = end
        finally:
            for logger in self.loggers:
                logger.close()
        return task.finish(self.step, self.seconds)

    def _train_until(self, end: int) -> None:
        """Train to the end of a part. What makes the device's queue run empty (logs, checkpoints, agreeing with the
        other processes) is done together, now and then."""
        config = self.config
        self.throughput.restart(self.step)
        with closing(self.batches.stream(self.step, end)) as stream:
            for parts in self.throughput.waiting_for(stream):
                losses, norm, lr = self._train_step(parts)
                if self.peak:
                    self.throughput.computed(sum(self.task.flops(part) or 0.0 for part in parts))
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

    def _train_step(self, parts: Sequence[Any]) -> tuple[Tensor, Tensor, float]:
        """One step of the optimiser. Returns the losses and the gradient norm, still on the device, and the rate."""
        config, engine, task = self.config, self.engine, self.task
        lr = learning_rate(
            self.step,
            self.total,
            self.warmup,
            config.learning_rate,
            config.min_learning_rate,
            config.decay,
            task.steps_per_epoch,
            config.decay_at,
        )
        self.stepper.train()
        task.before_step()
        all_losses, given = [], []
        for micro, on_cpu in enumerate(parts):
            # Every step, pass and process drops others, and a step drops the same when it is done again.
            place = micro * engine.world + engine.rank
            torch.manual_seed((config.seed * 1_000_003 + self.step) * 4096 + place)
            part = self.batches.deliver(on_cpu, self.step, micro, engine.device)
            with engine.no_sync(last=micro == len(parts) - 1):
                losses, more = self.stepper(part, *task.arguments(self.step))
                engine.backward(losses["loss"])
            all_losses.append(torch.stack([losses[name].detach().float() for name in task.losses]))
            given.append(more)
        decay = None
        if config.weight_decay_end is not None:
            decay = cosine(self.step, self.total, config.weight_decay, config.weight_decay_end)
        norm = engine.step(lr, decay)
        task.after_step(given)
        mean = torch.stack(all_losses).mean(0)
        self.first_bad.note(self.step, mean[0], norm)
        return mean, norm, lr

    def _agree(self) -> tuple[bool, int]:
        """What the processes decide together: whether to stop, and how many steps were skipped.

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
            whole = self.task.batches(0, 1)
            with closing(whole.stream(step, step + 1)) as stream:
                parts = [whole.deliver(part, step, i, "cpu") for i, part in enumerate(next(stream))]
            with whole_file(path) as file:
                torch.save({"step": step, **self.task.state(), "batches": [vars(part) for part in parts]}, file)
        raise ValueError(
            f"The loss or its gradient is not finite at step {step} (its batch: {path}; the last checkpoint is as it "
            "was): lower learning_rate, raise warmup_steps or use another precision, in a new output folder."
        )

    # ---- state ------------------------------------------------------------------------------------------------------

    def _checkpoint(self) -> None:
        """Write everything that the training needs to go on, for any number of processes."""
        self.seconds = time.monotonic() - self.started
        state: Checkpoint = {
            "step": self.step,
            "seconds": self.seconds,
            "weights": whole_state(self.module),
            "optimizer": optimizer_state(self.module, self.engine.optimizer),
            "precision": self.engine.precision_state(),
            "identity": self.task.identity(),
            **cast(Checkpoint, self.task.state()),
        }
        if self.engine.first:
            write_checkpoint(self.config.out / "checkpoint.pt", state)

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one; log lines behind it are dropped."""
        state = read_checkpoint(self.config.out / "checkpoint.pt")
        if state is not None:
            self.task.load_state(state)
            # The folder's path may change, its content may not; checkpoints of former versions do not say.
            if state.get("identity", self.task.identity()) != self.task.identity():
                raise ValueError(
                    f"{self.config.out} was trained on other data, or from another model: use another output folder."
                )
            self.step, self.seconds = state["step"], state.get("seconds", 0.0)
            load_whole_state(self.module, state["weights"])
            load_optimizer_state(self.module, self.engine.optimizer, state["optimizer"])
            self.engine.load_precision_state(state["precision"])
            self.batches = self.task.batches(self.engine.rank, self.engine.world)
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
        """One line: to the log, the curves and the screen. Every process must call it, because losses are averaged."""
        # Reading the losses waits for the device, so it is done here and nowhere else.
        values = self.engine.mean(losses)
        if not self.engine.first:
            return
        task, config, pace = self.task, self.config, self.throughput.of_steps(self.step)
        line: dict[str, Any] = {
            "step": self.step,
            "epoch": self.step / task.steps_per_epoch,
            **dict(zip(task.losses, values)),
            "lr": lr,
            "gradient_norm": float(norm),
            f"{task.pairs}_per_s": config.batch_size / pace.seconds,
            "data_wait": pace.waiting,
            "mfu": pace.flops_per_s / self.peak if self.peak and pace.flops_per_s else None,
            "memory_gb": memory_gb(self.engine.device),
            "skipped_steps": skipped,
            **task.figures(self.step),
        }
        with (config.out / "log.jsonl").open("a") as stream:
            stream.write(json.dumps(line) + "\n")
        numbers = {name: value for name, value in line.items() if isinstance(value, float) and name != "epoch"}
        for logger in self.loggers:
            logger.log(numbers | {"skipped_steps": skipped}, self.step)
        left = (self.total - self.step) * pace.seconds
        busy = "" if line["mfu"] is None else f"mfu {line['mfu']:.0%}  "
        say(
            f"step {self.step}/{self.total} {task.told(line)}  norm {float(norm):.2f}  lr {lr:.1e}  "
            f"{line[f'{task.pairs}_per_s']:.0f} {task.pairs}/s  {busy}data {pace.waiting:.0%}  "
            f"{line['memory_gb']:.1f} GB  {int(left // 60)}:{int(left % 60):02d} left"
        )
        for sentence in self.health.warnings(line):
            say(f"  warning: {sentence}")
