"""`knowlip bench run`: a task trained and measured on a data set with an encoder, fold by fold and seed by seed, and
the figures of all folds together.

    DIR/seed-S/fold-F/   run folders of the task (settings, checkpoint, predictions, pictures, metrics.json)
    DIR/rows.json        one row a figure: over all folds together, the mean of several seeds
    DIR/bench.html       the same for people, with pictures
    DIR/bench.yaml       what all of it was made with: other settings in the same folder are refused

A killed command goes on when it is given again: finished folds are read, a half one goes on from its checkpoint.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from knowlip.base.documents import parse_yaml, read_yaml
from knowlip.base.files import file_sha256, sha256, whole_file
from knowlip.base.parsing import stage_config
from knowlip.base.progress import say
from knowlip.base.recipes import load_recipe
from knowlip.base.rows import MARKS, MARKS_TOLD, Json, Results, Row, read_results
from knowlip.base.settings import plain, same_or_refuse, without
from knowlip.benchmark.evaluate import short_name, weights_of
from knowlip.benchmark.settings import BenchRunConfig
from knowlip.dataset import Dataset
from knowlip.dataset.layout import INFO
from knowlip.jobs.store import alone
from knowlip.models.hub import CARD, WEIGHTS
from knowlip.tasks.runs import FLOOR, METRICS, PICTURES, BenchTask, MeasuredConfig, check_folds, find_bench_task

ROWS: Final = "rows.json"
PAGE: Final = "bench.html"
SETTINGS: Final = "bench.yaml"
_OURS: Final = ("dataset", "encoder", "out", "protocol", "fold", "folds", "seed", "cache")
"""Settings of the task that bench run itself sets."""
FREE_BENCH: Final = ("out", "data", "seeds", "name", "label", "recipe", "settings", "cache")
"""Settings that may differ between a run and its continuation: what the recipe comes to may not."""
BESIDE: Final = "encoder_config_sha256"
_SAID_BESIDE: Final = (
    *(CARD, "config.json", "preprocessor_config.json", "open_clip_config.json"),
    *(
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "bpe_simple_vocab_16e6.txt.gz",
    ),
)
"""Files that are read beside weights."""
CONFIG: Final = "config.yaml"
"""Settings of a run folder, as the training saves them."""
_ELSEWHERE: Final = (
    *("dataset", "out", "cache", "workers", "pictures", "log_every", "checkpoint_every", "keep_steps", "loggers"),
    *("accelerator", "devices", "num_nodes", "strategy", "compile", "checkpoint_activations"),
)
"""Settings of a run that may be others than those of the command, because a run may go on with others."""
_BEGUN: Final = (CONFIG, METRICS)
"""What a run folder holds whose training has begun."""
_PICTURES: Final = 24


class Place(NamedTuple):
    """One training of several."""

    seed: int
    fold: int
    folder: Path


def bench_run(config: BenchRunConfig) -> dict[str, Any]:
    """Train and measure all folds and seeds, and write what they come to.

    Returns:
        `rows` as in rows.json, `first`: the first row of each seed, `out`, and how many `runs` were `trained` now.

    Raises:
        ValueError: no such task, recipe, setting or data set, other settings in `out`, or what the task refuses.
    """
    task = find_bench_task(config.task)
    settings = _task_settings(config)
    base = _config(task, config, settings, Place(0, 0, config.out))  # what is wrong is refused before anything is made
    made_with = _made_with(config, base)
    config.out.mkdir(parents=True, exist_ok=True)
    with alone(config.out / "lock", f"Another process runs in {config.out}: let it end, or use another output folder."):
        if not any((one.parent / name).is_file() for one in config.out.glob("seed-*/fold-*/*") for name in _BEGUN):
            # The task refused what was asked for, or was killed before it began: that binds nobody.
            (config.out / SETTINGS).unlink(missing_ok=True)
        places, trained = list(_places(config)), 0
        then = as_then(config.out / SETTINGS, made_with)
        if not any((place.folder / METRICS).is_file() for place in places) and (config.out / SETTINGS).is_file():
            # What is only read when a model is measured binds nobody before.
            later = [f"{one}.{name}" for one in ("task_settings", "other_sets") for name in base.measured_with]
            same_or_refuse(config.out / SETTINGS, then, (*FREE_BENCH, *later), {"task_settings": type(base)})
            (config.out / SETTINGS).unlink()
        same_or_refuse(config.out / SETTINGS, then, FREE_BENCH, {"task_settings": type(base)})
        for number, place in enumerate(places):
            if (place.folder / METRICS).is_file():
                continue
            say(f"run {number + 1} of {len(places)}: seed {place.seed}, fold {place.fold}")
            _check_unchanged(config, base, made_with)
            task.run(replace(base, out=place.folder, fold=place.fold, seed=place.seed))
            trained += 1
        if trained:
            _check_unchanged(config, base, made_with)
        return _write(config, task, base, places, made_with) | {"runs": len(places), "trained": trained}


def bench_settings(config: BenchRunConfig) -> dict[str, Any]:
    """All that decides the figures of a command, as bench.yaml holds it: settings of the task after recipe and command,
    and hashes of data and weights.

    Raises:
        ValueError: no such task, recipe, setting or data set.
    """
    return _made_with(
        config, _config(find_bench_task(config.task), config, _task_settings(config), Place(0, 0, config.out))
    )


def _made_with(config: BenchRunConfig, base: MeasuredConfig) -> dict[str, Any]:
    data = Dataset(config.data)
    return {
        **plain(config),
        "task_settings": {name: value for name, value in plain(base).items() if name not in _OURS},
        "dataset_fingerprint": data.fingerprint,
        "labels_sha256": data.labels_sha256,
        "other_sets": _other_sets(base),
        "encoder_sha256": weights_sha256(config.encoder),
        BESIDE: beside_sha256(config.encoder),
    }


def _check_unchanged(config: BenchRunConfig, base: MeasuredConfig, made_with: Mapping[str, Any]) -> None:
    """Raise `ValueError` where data, items, weights or detections are others than when the command began."""
    now = _made_with(config, base)
    if changed := sorted(key for key in now if now[key] != made_with[key]):
        raise ValueError(
            f"{changed[0]} changed while {config.out} was made: its runs would not be of one thing. Put back what it "
            "was made with, or delete the runs that began after the change."
        )


_SAME: Final = ("dataset_fingerprint", "measured_fingerprint", "labels_sha256", "said_sha256")
"""What a task says that it read: the same in all runs of a folder."""


def _check_same(singles: Mapping[str, Results], made_with: Mapping[str, Any]) -> None:
    """Raise `ValueError` where runs read other tiles, labels, captions or questions than others, or other tiles than
    those of the command."""
    first = next(iter(singles))
    for name, found in singles.items():
        tiles = found.setup.get("dataset_fingerprint")
        if tiles is not None and tiles != made_with["dataset_fingerprint"]:
            raise ValueError(f"{name} was made with other tiles than those of this data set: delete it and run again.")
        for key in _SAME:
            then, now = singles[first].setup.get(key), found.setup.get(key)
            if None not in (then, now) and then != now:
                raise ValueError(f"{name} was made with another {key} than {first}: delete one of them.")


def _check_made_here(place: Place, expected: MeasuredConfig) -> None:
    """Raise `ValueError` where a finished run is not the seed and fold, or of the settings, that its folder stands for:
    one that was copied from elsewhere would be pooled as what it is not."""
    path = place.folder / CONFIG
    saved = read_yaml(path, f"{place.folder} lacks its {CONFIG}: delete it and give the command again.")
    if not isinstance(saved, Mapping):
        raise ValueError(f"{path} holds no settings: delete {place.folder} and give the command again.")
    free = (*_ELSEWHERE, *expected.measured_with)
    then, now = without(dict(saved), free), without(plain(expected), free)
    # A former version lacked some settings, or called them otherwise: what both know is compared.
    for key in sorted(then.keys() & now.keys()):
        if then[key] != now[key]:
            raise ValueError(
                f"{place.folder} is the run of {key} {then[key]!r}, and here {now[key]!r} belongs: it was copied or "
                "changed. Delete it and give the command again."
            )


def show(result: Mapping[str, Any]) -> str:
    """The rows for people."""
    lines = []
    for row in result["rows"]:
        floor = f"; {row['floor_name']} {_shown(row, 'floor')}" if row["floor"] is not None else ""
        ends = "" if row["ci"] is None else f" ({' to '.join(f'{end:.3f}' for end in row['ci'])})"
        name = row["metric"] if not row["encoder"].startswith(FLOOR) else f"  {row['encoder']}, {row['metric']}"
        lines.append(f"{name}: {_shown(row, 'value')}{ends}, n {row['n']:,}{floor}")
    return "\n".join([*lines, f"{result['out']}/{PAGE}"])


def weights_sha256(encoder: str) -> str:
    """SHA-256 of the weights that an encoder's name holds, of all files of a folder of another project; "" where it
    names none."""
    path = weights_of(encoder)
    if path is None:
        return ""
    path = path / WEIGHTS if (path / WEIGHTS).is_file() else path
    if path.is_file():
        return file_sha256(path)
    return sha256("".join(file_sha256(one) for one in sorted(path.iterdir()) if one.is_file()).encode())


def beside_sha256(encoder: str) -> str:
    """SHA-256 of the files beside an encoder's weights that say how they are read (sizes, normalisation, words); ""
    where there are none."""
    path = weights_of(encoder)
    folder = path if path is None or path.is_dir() else path.parent
    found = [] if folder is None else [folder / name for name in _SAID_BESIDE if (folder / name).is_file()]
    return sha256("".join(f"{one.name} {file_sha256(one)} " for one in found).encode()) if found else ""


def as_then(path: Path, made_with: Mapping[str, Any]) -> dict[str, Any]:
    """What is to be compared with the settings saved at `path`: a former version did not look beside the weights, and
    its runs go on."""
    saved = read_yaml(path) if path.is_file() else None
    former = isinstance(saved, dict) and BESIDE not in saved
    return {name: value for name, value in made_with.items() if not (former and name == BESIDE)}


def _shown(row: Mapping[str, Any], name: str) -> str:
    return "–" if row[name] is None else f"{row[name]:.3f}"


def _other_sets(base: MeasuredConfig) -> dict[str, list[str]]:
    """Setting of the task that names one more data set -> hashes of its tiles and labels; of a file its own."""
    paths = {name: path for name, path in vars(base).items() if name not in _OURS and isinstance(path, Path)}
    sets = {name: Dataset(path) for name, path in paths.items() if (path / INFO).is_file()}
    files = {name: [file_sha256(path)] for name, path in paths.items() if path.is_file()}
    below = {name: [file_sha256(path) for path in those if path.is_file()] for name, those in base.read_files().items()}
    return below | {name: [one.fingerprint, one.labels_sha256] for name, one in sets.items()} | files


def _task_settings(config: BenchRunConfig) -> dict[str, Any]:
    """Settings of the task by the recipe and the command."""
    found: dict[str, Any] = {}
    if config.recipe:
        recipe = load_recipe(config.recipe)
        if config.task not in recipe:
            raise ValueError(f"The recipe {config.recipe} says nothing about {config.task}: it has no such section.")
        found = dict(recipe[config.task])
    for change in config.settings:
        name, equals, value = change.partition("=")
        *groups, last = name.replace("-", "_").split(".")
        if not equals or not last:
            raise ValueError(f"settings are NAME=VALUE, not {change!r}.")
        section = found
        for group in groups:
            inside = section.get(group)
            if not isinstance(inside, Mapping | None):
                raise ValueError(f"{group} is {inside!r}, no group of settings: {name} cannot be set.")
            section[group] = dict(inside or {})
            section = section[group]
        section[last] = parse_yaml(value, f"the value of {name}")
    if ours := sorted(found.keys() & {*_OURS}):
        raise ValueError(f"{ours[0]} is said by bench run itself: give it as its own setting.")
    return found


def _config(task: BenchTask, config: BenchRunConfig, settings: Mapping[str, Any], place: Place) -> MeasuredConfig:
    """Settings of one training."""
    ours = {
        "dataset": str(config.data),
        "encoder": config.encoder,
        "out": str(place.folder),
        "protocol": config.protocol,
        "fold": place.fold,
        "folds": config.folds,
        "seed": place.seed,
        "cache": str(config.cache or config.out / "cache"),
    }
    return stage_config(task.config, {**settings, **ours})


def _places(config: BenchRunConfig) -> Iterator[Place]:
    for seed in range(config.seeds):
        for fold in range(1 if config.protocol == "own" else config.folds):
            yield Place(seed, fold, config.out / f"seed-{seed}" / f"fold-{fold}")


# ---- all together ---------------------------------------------------------------------------------------------------


def _write(
    config: BenchRunConfig,
    task: BenchTask,
    base: MeasuredConfig,
    places: Sequence[Place],
    made_with: Mapping[str, Any],
) -> dict[str, Any]:
    """rows.json and bench.html."""
    split = base.split_name
    name, label = config.name or config.data.resolve().name, config.label or short_name(config.encoder)
    for seed in range(config.seeds):
        check_folds([one.folder for one in places if one.seed == seed], config.protocol != "own")
    if any((one.folder / CONFIG).is_file() for one in places):  # else the task saves no settings to compare
        for place in places:
            _check_made_here(place, replace(base, out=place.folder, fold=place.fold, seed=place.seed))
    single = {str(one.folder.relative_to(config.out)): read_results(one.folder / METRICS) for one in places}
    _check_same(single, made_with)
    by_seed = [
        task.rows([one.folder for one in places if one.seed == seed], name, split, label)
        for seed in range(config.seeds)
    ]
    # Tasks know the encoder by its path, which says something of this machine only.
    folds = 0 if config.protocol == "own" else config.folds
    found = over_seeds(by_seed)
    if task.together and config.seeds > 1:
        seeds = [[one.folder for one in places if one.seed == seed] for seed in range(config.seeds)]
        found += task.together(seeds, name, split, label)
    rows = tuple(replace(row, note=row.note.replace(config.encoder, label), folds=folds) for row in found)
    details: dict[str, dict[str, Json]] = {
        "runs": {name: dict(found.details.get(config.task, {})) for name, found in single.items()}
    }
    seconds = {f"{name}/{part}": value for name, found in single.items() for part, value in found.seconds.items()}
    results = Results(rows, details, dict(made_with), seconds)
    results.write(config.out / ROWS)
    with whole_file(config.out / PAGE) as part:
        part.write_text(_page(config, results, by_seed, places))
    plain_rows: list[Any] = [plain(row) for row in rows]
    return {"rows": plain_rows, "first": [plain(seed[0]) for seed in by_seed if seed], "out": str(config.out)}


def over_seeds(by_seed: Sequence[Sequence[Row]]) -> tuple[Row, ...]:
    """One row a figure: the mean over seeds, with the mean of the ends of their intervals.

    The seeds measure the same tiles, so their intervals (over tiles) are not narrower together; how far the seeds lie
    apart stands in the note.
    """
    if len(by_seed) == 1:
        return tuple(by_seed[0])
    # Bounds are averaged, not drawn anew: tasks keep their draws to themselves, and a mean of intervals is no narrower
    # than that of a single training.
    rows = []
    for row in by_seed[0]:
        others = [next((one for one in seed if one.key == row.key), None) for seed in by_seed]
        values = [None if one is None else one.value for one in others]
        known = [one for one in others if one is not None and one.value is not None]
        if len(known) < len(others):
            note = f"Only {len(known)} of {len(others)} seeds have a value. {row.note}".strip()
            rows.append(replace(row, value=None, ci=None, note=note))
            continue
        figures = np.array(values, float)
        ends = None if any(one.ci is None for one in known) else np.mean([one.ci or () for one in known], 0)
        spread = f"Mean of {len(known)} seeds from {row.shown(figures.min())} to {row.shown(figures.max())}."
        note = row.note if np.ptp(figures) == 0 else f"{row.note} {spread}".strip()
        if len(numbers := sorted({one.n for one in known})) > 1:
            note = f"{note} Of {numbers[0]:,} to {numbers[-1]:,} trials in a seed.".strip()
        floors = [one.floor for one in known if one.floor is not None]
        rows.append(
            replace(
                row,
                value=float(figures.mean()),
                ci=None if ends is None else (float(ends[0]), float(ends[1])),
                floor=float(np.mean(floors)) if floors else None,
                note=note,
            )
        )
    return tuple(rows)


def _page(config: BenchRunConfig, results: Results, by_seed: Sequence[Sequence[Row]], places: Sequence[Place]) -> str:
    from PIL import Image

    from knowlip.pages.render import picture_uri, render

    # A page stays small whatever the number of folds: pictures of the first seed alone, reduced.
    pictures: list[tuple[str, str]] = []
    for place in places:
        for path in sorted((place.folder / PICTURES).glob("*.png")):
            if len(pictures) < _PICTURES and place.seed == 0:
                with Image.open(path) as opened:
                    pictures.append((picture_uri(opened.convert("RGB"), 900), path.stem))
    shown = [{row.key: row.shown(row.value) for row in rows} for rows in by_seed]
    models = [row for row in results.rows if not row.encoder.startswith(FLOOR)]
    return render(
        "bench.html",
        title=f"{config.task} on {results.rows[0].data}" if results.rows else config.task,
        config=config,
        models=[(row, MARKS[row.standing]) for row in models],
        told=MARKS_TOLD,
        floors=[row for row in results.rows if row.encoder.startswith(FLOOR)],
        notes=list(dict.fromkeys(row.note for row in results.rows if row.note)),
        seeds=[[of_seed.get(row.key, "–") for of_seed in shown] for row in models],
        pictures=pictures,
        settings=sorted(_flat(results.setup.get("task_settings"))),
        seconds=sum(results.seconds.values()),
        runs=len(places),
    )


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _flat(item, f"{prefix}{name}.")
    else:
        yield prefix.rstrip("."), str(value)
