"""What is done, item by item, and where: the words in which the rooms hand their work to :mod:`knowlip.jobs.run`."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar, get_args

Item = TypeVar("Item")
Result = TypeVar("Result")


class Work(ABC, Generic[Item, Result]):
    """Something to do with each of many items, the same whoever does it and in whatever order.

    It is sent to processes and machines: it can be pickled, and so can what :meth:`prepare` makes of an item.
    """

    threaded: ClassVar[bool] = False
    """Whether an item can use more than one core."""

    @abstractmethod
    def open(self, number: int) -> Callable[[Any], Result]:
        """Get a process ready, once: read the model, open the data set.

        Args:
            number: of this process among those of its machine, from 0; where each takes a GPU it is this one.

        Returns:
            What does a prepared item.
        """

    def prepare(self, item: Item, cores: int) -> Any:
        """What is sent of an item, made by the asking process when it is the item's turn.

        Args:
            item: one of the items.
            cores: how many it may use.
        """
        return item

    @abstractmethod
    def name(self, item: Item) -> str:
        """An item's name for a person."""

    def given_up(self, item: Item) -> Result:
        """The result of an item that ended its process each time.

        Raises:
            ValueError: by default; there is none.
        """
        raise ValueError(
            f"{self.name(item)} was given up: the process that did it was killed each time, most likely for lack of "
            "memory. What is finished is kept; run the same command again with fewer workers."
        )


@dataclass(frozen=True)
class Threads:
    """Threads of this process, for work that waits for others."""

    count: int


@dataclass(frozen=True)
class Processes:
    """Processes of this machine."""

    count: int
    """1: this very process. So does a single item that can use several cores."""


@dataclass(frozen=True)
class Ray:
    """The machines of a Ray cluster."""

    address: str
    """"auto", or host:port."""
    out: Path
    """Folder that all of them see under this path and can write to."""
    reads: tuple[Path, ...]
    """Folders and files that all of them see under these paths."""
    packages: tuple[str, ...]
    """Packages that decide what comes out: a machine with other versions of them is refused."""
    gpu: bool = False
    """An item takes a GPU and no core."""


@dataclass(frozen=True)
class Ranks:
    """The processes that torchrun has started, each of which calls with the same items; see `launch.joined`."""

    rank: int = 0
    world: int = 1
    local: int = 0
    """Number of this process on its machine."""

    def agreed(self, value: Any) -> Any:
        """What the first process says; all must ask."""
        if self.world == 1:
            return value
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, 0)
        return box[0]


Where = Threads | Processes | Ray | Ranks
PlaceName = Literal["here", "processes", "ray"]
"""How a command is told where its items are done."""


def check_place(where: str, workers: int) -> None:
    """Raise `ValueError` where a command is told a place that is none, or of no worker."""
    if where not in get_args(PlaceName):
        raise ValueError(f"where must be {', '.join(get_args(PlaceName))}, not {where!r}.")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}.")
