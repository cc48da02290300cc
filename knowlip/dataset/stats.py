"""`knowlip dataset stats`: what a data set holds, as numbers, pictures and one page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from knowlip.base.files import check_replaceable, whole_folder, write_json
from knowlip.dataset.reader import Dataset
from knowlip.dataset.stats_numbers import measure


@dataclass(frozen=True)
class DatasetStatsConfig:
    """What to measure and where to draw it."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of the data set."""
    out: Path | None = None
    """Folder for stats.json, PNG pictures and stats.html; an older one is replaced. Numbers only where not given."""
    title: str = ""
    """Headline; by default the name of the data set."""


def dataset_stats(config: DatasetStatsConfig) -> dict[str, Any]:
    """Measure a data set and, with `out`, draw it.

    Returns:
        The numbers, see :func:`knowlip.dataset.stats_numbers.measure`, and "files" where there are any.

    Raises:
        ValueError: no data set, or `out` holds something other than an older result.
    """
    data = Dataset(config.dataset)
    numbers = measure(data)
    if config.out is None:
        return numbers
    check_replaceable(config.out, "stats.json", ("stats.html", "*.png"))
    from knowlip.dataset.stats_figures import draw, page

    title = config.title or config.dataset.resolve().name
    with whole_folder(config.out) as folder:
        write_json(folder / "stats.json", numbers)
        draw(data, numbers, folder, title)
        (folder / "stats.html").write_text(page(data, numbers, title))
        files = sorted(path.name for path in folder.iterdir())
    return {**numbers, "out": str(config.out), "files": files}


def show(result: dict[str, Any]) -> str:
    """The main numbers for people."""
    lines = [f"{result['dataset']}: {result['tiles']} tiles, {result['accepted']} accepted, {result['scenes']} scenes"]
    for name, counts in result["by"].items():
        if counts and list(counts) != ["unknown"]:
            shown = list(counts.items())[:8]
            more = f", {len(counts) - 8} more" if len(counts) > 8 else ""
            lines.append(f"{name}: " + ", ".join(f"{key} {value}" for key, value in shown) + more)
    if result["rejected"]:
        lines.append("rejected: " + ", ".join(f"{key} {value}" for key, value in result["rejected"].items()))
    for category, entry in result["targets"]["categories"].items():
        length = entry["length_m"]
        size = f", length {length['low']:.0f} to {length['high']:.0f} m (5 to 95 %)" if length["count"] else ""
        lines.append(f"{category}: {entry['count']}{size}")
    if result["mask_shares"]:
        lines.append("masks: " + ", ".join(f"{key} {100 * v:.1f} %" for key, v in result["mask_shares"].items()))
    if "out" in result:
        lines.append(f"{result['out']}: {', '.join(result['files'])}")
    return "\n".join(lines)
