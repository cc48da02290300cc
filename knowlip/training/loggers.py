"""Where a training's curves go: TensorBoard, Weights & Biases, MLflow. `RUN/log.jsonl` is written in any case."""

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol

from knowlip.base.plugins import loaded_plugins

LoggerName = Literal["tensorboard", "wandb", "mlflow"]


class Logger(Protocol):
    """Takes the numbers of a step."""

    def log(self, values: dict[str, float], step: int) -> None:
        """The numbers of a log line, by name."""
        ...

    def close(self) -> None:
        """The training has ended, or was stopped."""
        ...


def check_loggers(names: Sequence[str]) -> None:
    """Raise `ValueError` for a logger whose package is not installed."""
    for name in names:
        if find_spec(name) is None:
            raise ValueError(f"loggers names {name}, which is not installed: pip install {name}, or leave it out.")


def open_loggers(
    names: Sequence[LoggerName], folder: Path, run: str, config: dict[str, Any], step: int
) -> list[Logger]:
    """Open the loggers of a run.

    Args:
        names: which.
        folder: the run's; TensorBoard and the others' local files go there.
        run: the run's name; a resumed run has the same, and its curves go on.
        config: settings to keep beside the curves.
        step: where the run goes on; what TensorBoard has behind it is dropped.

    Raises:
        ValueError: a plug-in's callback cannot be made, or is none.
    """
    makers: dict[str, Callable[..., Logger]] = {"tensorboard": _TensorBoard, "wandb": _Wandb, "mlflow": _Mlflow}
    opened = [makers[name](folder, run, config, step) for name in names]
    for name, make in loaded_plugins("callbacks").items():
        try:
            added = make(folder, run, config, step)
        except Exception as error:  # it is another's code: whatever goes wrong in it is said with its name
            raise ValueError(
                f"The callback {name} of a plug-in cannot be made of (folder, run, config, step) "
                f"({type(error).__name__}: {error})."
            ) from error
        if missing := [one for one in ("log", "close") if not callable(getattr(added, one, None))]:
            raise ValueError(f"The callback {name} of a plug-in lacks {', '.join(missing)}.")
        opened.append(added)
    return opened


class _TensorBoard:
    def __init__(self, folder: Path, run: str, config: dict[str, Any], step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # Files are read in the order of their names, which begin with the second; within one second the order of a
        # counter's text decides (10 before 9), and a run's second file would be passed over.
        while any(folder.glob(f"tensorboard/*.tfevents.{int(time.time()):010d}.*")):
            time.sleep(0.05)
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step)

    def log(self, values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class _Wandb:
    """Account, project and mode come from wandb's own environment variables (WANDB_PROJECT, WANDB_MODE, ...)."""

    def __init__(self, folder: Path, run: str, config: dict[str, Any], step: int) -> None:
        self.run = import_module("wandb").init(id=run, name=run, resume="allow", dir=str(folder), config=config)

    def log(self, values: dict[str, float], step: int) -> None:
        self.run.log(values, step=step)

    def close(self) -> None:
        self.run.finish()


class _Mlflow:
    """Server and experiment come from MLflow's own environment variables (MLFLOW_TRACKING_URI, ...)."""

    def __init__(self, folder: Path, run: str, config: dict[str, Any], step: int) -> None:
        self.mlflow = mlflow = import_module("mlflow")
        kept = folder / "mlflow-run"
        if kept.is_file():
            mlflow.start_run(run_id=kept.read_text())
        else:
            kept.write_text(mlflow.start_run(run_name=run).info.run_id)
            mlflow.log_dict(config, "config.json")

    def log(self, values: dict[str, float], step: int) -> None:
        self.mlflow.log_metrics(values, step=step)

    def close(self) -> None:
        self.mlflow.end_run()
