"""`knowlip scio report DATASET`: what screening and reconstruction decided, as numbers and as one HTML page."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np

from knowlip.base.files import check_replaceable, whole_folder, write_json
from knowlip.base.vocabulary import Decision
from knowlip.dataset import Dataset
from knowlip.scio.history import plain_rows, word_changes
from knowlip.scio.numbers import measure

if TYPE_CHECKING:
    import pandas as pd

_SHOWN: Final = (Decision.REWRITTEN, Decision.REJECTED, Decision.SCREENED)


@dataclass(frozen=True)
class ScioReportConfig:
    """Which decisions to report, and where."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of the data set."""
    out: Path | None = None
    """Folder for scio.json and scio-report.html; an older one is replaced. Without it, numbers only."""
    revision: int | None = None
    """End of the line of revisions; the newest where not given."""
    examples: int = 12
    """How many sub-texts to show of each kind of decision, drawn by lot, from as many dimensions as there are."""
    seed: int = 0
    """The same seed draws the same examples."""


def scio_report(config: ScioReportConfig) -> dict[str, Any]:
    """Count the decisions and, with `out`, write the page.

    Returns:
        What :func:`knowlip.scio.numbers.measure` counts, and `examples`: tile_id, dimension, revision, decision, was
        and text (before and after), both differences and the reason.

    Raises:
        ValueError: no data set, no texts or no such revision; no revision made a decision; `out` holds something else.
    """
    # Numbers first, and the page only where it is asked for: drawing needs a library that counting does not.
    if config.out is not None:
        check_replaceable(config.out, "scio.json", ("scio-report.html", "*.png"))
    dataset = Dataset(config.dataset)
    numbers, rows = measure(dataset, config.revision)
    if all(entry["kind"] == "annotation" for entry in numbers["revisions"]):
        raise ValueError(f"{config.dataset} has no decisions to report: run `knowlip scio screen` or a training first.")
    drawn = draw_examples(rows, config.examples, config.seed)
    names = (
        "tile_id",
        "instruction_set",
        "dimension",
        "revision",
        "decision",
        "was",
        "text",
        "delta_itc",
        "delta_itm",
        "reason",
    )
    numbers["examples"] = plain_rows(drawn, names)
    if config.out is None:
        return numbers
    from knowlip.scio.page import page

    with whole_folder(config.out) as folder:
        write_json(folder / "scio.json", numbers)
        html = page(numbers, {tile: dataset.image(tile) for tile in set(drawn["tile_id"])}, config.dataset.name)
        (folder / "scio-report.html").write_text(html)
    return {**numbers, "out": str(config.out)}


def draw_examples(rows: "pd.DataFrame", count: int, seed: int) -> "pd.DataFrame":
    """Up to `count` decisions of each kind (rewritten, rejected, and screened but not yet judged again), by lot.

    Dimensions take turns, so that frequent ones do not fill the page.
    """
    import pandas as pd

    rng = np.random.default_rng(seed)
    last = rows.groupby(["tile_id", "slot"])["revision"].transform("max")
    open_ = (rows["decision"] != Decision.SCREENED) | (rows["revision"] == last)
    parts = []
    for decision in _SHOWN:
        part = rows[(rows["decision"] == decision) & open_]
        part = part.iloc[rng.permutation(len(part))]
        turn = part.groupby(["instruction_set", "dimension"]).cumcount()
        parts.append(part.iloc[np.argsort(turn.to_numpy(), kind="stable")][:count])
    return pd.concat(parts)


def show(result: dict[str, Any]) -> str:
    """The main numbers for people."""
    lines = [f"{result['tiles']:,} tiles, {result['sub_texts']:,} sub-texts"]
    for entry in result["revisions"]:
        head = f"revision {entry['revision']:>2}  {entry['kind']:14}  {entry['run']}"
        if entry["kind"] == "annotation":
            lines.append(head)
            continue
        what = "noise" if entry["kind"] == "screening" else "accepted"
        lines.append(f"{head}: {entry['hits']:,} of {entry['count']:,} {what} ({entry['share']:.1%})")
        for row in entry["by_dimension"]:
            interval = f"{row['low']:.1%} to {row['high']:.1%}"
            name = f"{row['instruction_set']} {row['dimension']}"
            lines.append(f"    {name:24} {row['share']:6.1%}  ({interval}; {row['hits']:,} of {row['count']:,})")
    shown = [example for example in result["examples"] if example["decision"] == Decision.REWRITTEN][:3]
    for example in shown:
        marks = {"same": "{}", "gone": "[-{}-]", "new": "{{+{}+}}"}
        changes = " ".join(marks[kind].format(words) for kind, words in word_changes(example["was"], example["text"]))
        lines.append(f"  {example['tile_id']} {example['dimension']}: {changes}")
    if "out" in result:
        lines.append(f"written: {Path(result['out']) / 'scio-report.html'}")
    return "\n".join(lines)
