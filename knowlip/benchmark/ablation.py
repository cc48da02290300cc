"""The ablation of texts: one model, as many steps, on template, annotated, screened and rewritten texts.

Four arms as in Table 8 of arXiv 2509.23927. Everything but the texts is equal: tiles, sizes, number of steps, seeds,
fine-tuning on the same questions. What is compared is the accuracy of six types of questions about tiles whose places
no training saw. With lengths in steps, what arms have in common is trained once: + screening goes on from where stage 1
ended in the training on the annotator's texts, + reconstruction from the end of stage 2 of + screening.

    OUT/datasets/{templates,annotator}   copies of the data set (its shards by hard links) with the texts of the arms
    OUT/ARM/seed0/{pretrain,finetune}    trainings, resumable like any other
    OUT/ARM/seed0/result.json            when the pair of arm and seed is finished
    OUT/ablation.json                    what all of them give
"""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from knowlip.annotators.annotate import AnnotateConfig, annotate
from knowlip.base.files import read_json, whole_file, whole_folder, write_json
from knowlip.base.parsing import stage_config
from knowlip.base.progress import say
from knowlip.base.recipes import load_recipe, with_changes
from knowlip.base.rows import highest_floor
from knowlip.base.settings import plain, same_or_refuse
from knowlip.benchmark.ablation_table import ARMS, print_arms, summary
from knowlip.benchmark.corrupt import corrupt_texts
from knowlip.dataset import Dataset
from knowlip.dataset.layout import ANNOTATIONS, INDEX, INFO, MASKS, SHARDS, TEXTS, TRUTH
from knowlip.language.dimensions import SLOTS
from knowlip.language.questions import QUESTION_TYPES
from knowlip.models.encoders import open_encoder
from knowlip.tasks.answers import Asked, ask, floors_of
from knowlip.tasks.bench import Bench, MeasureLimits
from knowlip.tasks.pretrain import PretrainConfig, pretrain
from knowlip.tasks.screening import score_texts
from knowlip.tasks.vqa import FinetuneConfig, finetune

_RESULT: Final = "result.json"


@dataclass
class AblationConfig:
    """Settings of :func:`ablation`."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """An annotated data set with truth. It is only read; its revision 0 are the annotator's texts."""
    out: Path
    """Folder of all trainings and of ablation.json; a stopped command goes on there."""
    recipe: str = "tiny"
    """Name of a recipe or a YAML file: sections `pretrain` and `finetune`."""
    seeds: int = 3
    """Trainings of each arm, with seeds 0, 1, ..."""
    arms: list[str] = field(default_factory=list)
    """Some of templates, annotator, screened, reconstructed; none named: all four."""
    set: list[str] = field(default_factory=list)
    """Changes of the recipe: STAGE.KEY=VALUE."""
    questions_per_type: int = 400
    """Most questions of each of the six types about test tiles."""
    question_seed: int = 0
    """Of the test questions' wording; the same for all trainings."""
    wrong: float = 0.0
    """Sub-texts a training tile that are made wrong before any training (not in templates): 0.5 puts one in every
    second tile. A worse annotator, whose errors are known."""


FREE = ("dataset", "out", "arms", "seeds")
"""Fields that may differ between a command and its continuation: more arms and seeds can be added."""


def ablation(config: AblationConfig) -> dict[str, Any]:
    """Train and measure every arm with every seed, as far as that was not done before.

    Returns:
        Figures of :func:`knowlip.benchmark.ablation_table.summary`, also written to `out/ablation.json`.

    Raises:
        ValueError: no truth, no texts, an arm that there is not, or `out` was made with other settings.
    """
    data = Dataset(config.dataset)
    chosen = _check(config, data)
    same_or_refuse(config.out / "config.yaml", config, FREE)
    pairs = [(arm, seed) for seed in range(config.seeds) for arm in chosen]
    for number, (arm, seed) in enumerate(pairs, 1):
        folder = config.out / arm / f"seed{seed}"
        if not (folder / _RESULT).is_file():
            say(f"\n[{number}/{len(pairs)}] {ARMS[arm].what}, seed {seed}")
            write_json(folder / _RESULT, _one(config, arm, seed, folder))
    results = {
        arm: [read_json(config.out / arm / f"seed{seed}" / _RESULT) for seed in range(config.seeds)] for arm in chosen
    }
    found = summary(results) | {
        "dataset_fingerprint": data.fingerprint,
        "recipe": config.recipe,
        "set": list(config.set),
        "seeds": config.seeds,
        "command": f"knowlip ablation DATASET --recipe {config.recipe} --seeds {config.seeds}",
    }
    write_json(config.out / "ablation.json", found)
    return found


show = print_arms
"""What a person sees of the result."""


def _check(config: AblationConfig, data: Dataset) -> list[str]:
    """The arms to run."""
    if strangers := [arm for arm in config.arms if arm not in ARMS]:
        raise ValueError(f"There is no arm {strangers[0]!r}: choose from {', '.join(ARMS)}.")
    if config.seeds < 1 or config.questions_per_type < 1:
        raise ValueError("seeds and questions_per_type must be at least 1.")
    if not data.truth():
        raise ValueError(f"{config.dataset} has no truth, so neither template texts nor right answers can be had.")
    if not data.revisions():
        raise ValueError(f"{config.dataset} has no texts yet: annotate it first.")
    if config.wrong < 0 or config.wrong > SLOTS / 2:
        raise ValueError(f"wrong is a number of sub-texts a tile: at least 0 and at most {SLOTS // 2}.")
    for split in ("train", "test"):
        if data.tiles(split).empty:
            raise ValueError(f"{config.dataset} has no {split} tile: give scenes of more places.")
    return [arm for arm in ARMS if not config.arms or arm in config.arms]


def _one(config: AblationConfig, arm: str, seed: int, folder: Path) -> dict[str, Any]:
    """Pre-train, fine-tune and question one model."""
    # Every arm is trained and questioned by the commands' own functions, so that no arm gets a path of its own.
    source = "templates" if arm == "templates" else "annotator"
    wrong = 0.0 if arm == "templates" else config.wrong
    dataset = dataset_with(config.dataset, source, config.out / "datasets" / source, wrong)
    recipe = with_changes(load_recipe(config.recipe), config.set)
    places = {"dataset": str(dataset), "seed": seed}
    first = stage_config(PretrainConfig, {**recipe.get("pretrain", {}), **places, "out": str(folder / "pretrain")})
    first = _lengths(first, ARMS[arm].stages)
    _go_on(arm, config.out, folder.name, recipe, first)
    trained = pretrain(first)
    asked = {**places, "model": trained["model"], "out": str(folder / "finetune")}
    taught = finetune(stage_config(FinetuneConfig, {**recipe.get("finetune", {}), **asked}))
    limits = MeasureLimits(questions_per_type=config.questions_per_type)
    bench, model = Bench(dataset, limits=limits, seed=config.question_seed), open_encoder(taught["model"])
    roots = dict(zip(bench.everything["tile_id"], bench.everything["root_id"].astype(str)))
    found, texts = score_texts(bench.data, model.card.revision, bench.truths, bench.windows, roots)
    return {
        "arm": arm,
        "seed": seed,
        "steps": trained["steps"],
        "stage_lengths": plain(first.stage_steps or first.stage_epochs),
        **_answers(bench, ask(bench, model)),
        "texts": texts,
        "screening": found,
        "scio": {path.stem: read_json(path) for path in sorted((folder / "pretrain").glob("scio-*.json"))},
    }


def _lengths(pretrain: PretrainConfig, stages: int) -> PretrainConfig:
    """Give the steps of passes that an arm does not have to its last stage, so that all arms take as many steps."""
    name = "stage_epochs" if pretrain.stage_steps is None else "stage_steps"
    first, screened, rewritten = lengths = getattr(pretrain, name)
    iterations = pretrain.scio.iterations
    later = iterations * (screened + rewritten)
    if stages == 1:
        iterations, lengths = 0, (first + later, 0, 0)
    elif stages == 2:
        iterations, lengths = 1, (first, later, 0)
    changes: dict[str, Any] = {name: lengths, "scio": replace(pretrain.scio, iterations=iterations)}
    return replace(pretrain, **changes)


def _go_on(arm: str, out: Path, seed: str, recipe: Mapping[str, Any], pretrain: Any) -> None:
    """Begin an arm where it parts from the one before, where that has been trained; keep what the next one needs."""
    if pretrain.stage_steps is None:
        return
    first, screened, _ = recipe["pretrain"]["stage_steps"]
    parts = {"screened": ("annotator", first), "reconstructed": ("screened", first + screened)}
    pretrain.keep_steps = tuple(step for before, step in parts.values() if before == arm)
    before, step = parts.get(arm, ("", 0))
    source, target = out / before / seed / "pretrain", pretrain.out
    if not (source / f"checkpoint-{step}.pt").is_file() or (target / "checkpoint.pt").exists():
        return
    for path in source.glob("scio-stage*.json"):
        _copy(path, target / path.name)
    _copy(source / "log.jsonl", target / "log.jsonl")  # what is behind the checkpoint is dropped when the run resumes
    _copy(source / f"checkpoint-{step}.pt", target / "checkpoint.pt")


def dataset_with(source: Path, texts: str, target: Path, wrong: float = 0.0, seed: int = 0) -> Path:
    """A copy of a data set with revision 0 of one kind of texts, and room for its own revisions.

    Args:
        source: an annotated data set; it is only read.
        texts: "annotator" (the source's own) or "templates" (by the `labels` annotator).
        target: folder of the copy; what is there already stays.
        wrong: sub-texts a training tile that are made wrong, see :func:`knowlip.benchmark.corrupt.corrupt_texts`;
            `target`/wrong.json says which.
        seed: of this choice.

    Raises:
        ValueError: `target` is a copy of another data set, or no text can be made from labels.
    """
    if not (target / INFO).is_file():
        with whole_folder(target) as part:
            part.mkdir(parents=True, exist_ok=True)
            for name in (INFO, INDEX, TRUTH, ANNOTATIONS, MASKS, *([TEXTS] if texts == "annotator" else [])):
                if (source / name).is_file():
                    shutil.copyfile(source / name, part / name)
            shutil.copytree(source / SHARDS, part / SHARDS, copy_function=_link)
            if wrong:
                write_json(part / "wrong.json", corrupt_texts(Dataset(part), wrong, seed))
    copy = Dataset(target)
    if copy.fingerprint != Dataset(source).fingerprint:
        raise ValueError(f"{target} is a copy of another data set than {source}: use another output folder.")
    if not copy.revisions():
        annotate(AnnotateConfig(target, annotator="labels"))
    return target


def _copy(source: Path, target: Path) -> None:
    with whole_file(target) as part:
        shutil.copyfile(source, part)


def _link(source: str, target: str) -> str:
    """A hard link, or a copy where the folder lies on another disk. Shards are replaced as a whole, never written to,
    so the original's do not change."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target


def _answers(bench: Bench, asked: Asked) -> dict[str, Any]:
    """Type -> whether each single answer is right, its cluster, and the highest floor with its name."""
    kinds = [kind for kind in QUESTION_TYPES if asked.rows_of(kind)]
    return {
        "right": {kind: [int(hit) for hit in asked.hits(kind)] for kind in kinds},
        "clusters": {kind: [bench.clusters[asked.questions[i].tile_id] for i in asked.rows_of(kind)] for kind in kinds},
        "floors": {kind: list(highest_floor(floors_of(asked, kind))) for kind in kinds},
    }
