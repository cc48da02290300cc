"""Whether a finished self-supervised training has learned anything, said in words: its curves show it only to who
looks."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from knowlip.training.health import FLOORS, LEARNED

_LINES: Final = 5
"""Last lines of the log over which a loss is compared with its floor."""


def cautions(lines: Sequence[Mapping[str, Any]], curve: Mapping[str, Any]) -> list[str]:
    """What a user of the tower must know.

    Args:
        lines: of the log; the loss beside `patch_mean`, `image_mean` or `chance` where the method has one.
        curve: of neighbours as :meth:`knowlip.tasks.selfsup.watch.Watch.finish` gives it; {} for none.

    Returns:
        Sentences; none where the loss fell below its floor and the neighbours are better than they began.
    """
    found = []
    last = lines[-_LINES:]
    name = next((one for one in FLOORS if last and all(line.get(one) for line in last)), None)
    if name is not None:
        share = sum(line["loss"] / line[name] for line in last) / len(last)
        if share > LEARNED:
            found.append(
                f"The loss of the last {len(last)} log lines is {share:.1%} of that of the {FLOORS[name]} alone: the "
                "tower has learned hardly more. Train longer, or make the task easier."
            )
    # Which neighbours are right moves by chance too: only a curve that has risen counts for one.
    end, began = curve.get("knn"), curve.get("random_init", {}).get("knn")
    if end is not None and began is not None and end <= began:
        found.append(
            f"Neighbours are right about {end:.1%} of {curve['asked']} tiles, and were about {began:.1%} before the "
            "training: it has not made the tower better at telling the classes apart."
        )
    floors = curve.get("floors", {})
    if end is not None and floors and end <= max(floors.values()):
        best = max(floors, key=lambda one: floors[one])
        found.append(f"Without the tower, {best} is right about {floors[best]:.1%} of the same tiles.")
    return found
