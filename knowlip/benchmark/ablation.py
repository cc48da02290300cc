"""The ablation of texts: what do errors in texts cost a model, and what of it does a loop that repairs them win back?

The arms (:mod:`knowlip.benchmark.ablation_arms`) differ in their texts alone: tiles, sizes, vocabulary, first weights,
number of steps, seeds and questions are the same. First the ceilings are trained, texts without errors and those with
the most: only where they differ by more than three standard errors does a figure about SCIO mean something, and only
then are the other arms trained.

    OUT/datasets/TEXTS                   copies of the data set with the texts of the arms, shards by hard links
    OUT/ARM/seed0/{pretrain,finetune}    trainings, resumable like any other
    OUT/ARM/seed0/result.json            when the pair of arm and seed is finished
    OUT/made_with.json                   hashes of the data, and the recipe after all changes: others are refused here
    OUT/ablation.json                    what all of them give
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from knowlip.base.documents import read_json
from knowlip.base.files import file_sha256, write_json
from knowlip.base.parsing import stage_config
from knowlip.base.progress import say
from knowlip.base.provenance import commit, provenance
from knowlip.base.settings import plain, same_or_refuse
from knowlip.benchmark.ablation_arms import Arm, all_arms, check_lengths, go_on, training_of, waves
from knowlip.benchmark.ablation_outcomes import answered, chosen, claim_pairs, written
from knowlip.benchmark.ablation_settings import AblationConfig
from knowlip.benchmark.ablation_table import print_arms, summary
from knowlip.benchmark.ablation_texts import ArmTexts, figures_of
from knowlip.benchmark.copies import copy_dataset
from knowlip.benchmark.run import weights_sha256
from knowlip.dataset import Dataset
from knowlip.dataset.layout import TEXTS
from knowlip.dataset.mentions import MENTIONS
from knowlip.jobs.run import runner
from knowlip.jobs.store import alone
from knowlip.jobs.work import Processes, Work
from knowlip.models.encoders import open_encoder
from knowlip.models.weights.own import find_start
from knowlip.tasks.asking import Example, examples_of
from knowlip.tasks.bench import Bench, MeasureLimits
from knowlip.tasks.pretrain import PretrainConfig, pretrain
from knowlip.tasks.unseen import check_unseen
from knowlip.tasks.vqa import FinetuneConfig, finetune

_RESULT: Final = "result.json"
_MADE_WITH: Final = "made_with.json"
Job = tuple[str, int]
"""Name of an arm, and a seed."""


FREE = ("dataset", "out", "arms", "seeds", "regardless", "workers", "nice")
"""Fields that may differ between a command and its continuation: arms and seeds can be added."""


def ablation(config: AblationConfig) -> dict[str, Any]:
    """Train and measure every arm with every seed, as far as that was not done before.

    Returns:
        Figures of :func:`knowlip.benchmark.ablation_table.summary`, also written to `out/ablation.json`.

    Raises:
        ValueError: no truth, no texts, no steps in the recipe, `out` was made with other settings or other data, or
            another process works there.
    """
    data = Dataset(config.dataset)
    _check(config, data)
    busy = f"Another process trains the arms of {config.out}: let it end, or use another output folder."
    with alone(config.out / "lock", busy):
        same_or_refuse(config.out / "config.yaml", config, FREE)
        _same_made(config, data)
        return _arms(config, data)


def _arms(config: AblationConfig, data: Dataset) -> dict[str, Any]:
    """Part after part, as far as the ceilings let them."""
    # The ceilings come first: where they do not differ, what lies between them cannot either, and costs the most.
    texts = ArmTexts(config.dataset, config.out, config.wrong, config.generator, config.question_seed)
    recipe = _pretrain_of(config, config.out, config.out, 0)
    if not recipe.init.model:  # which brings its own
        texts.vocabulary(config.out / "vocab.txt", recipe.vocab_size)
    parts = waves(config.chosen_arms(), config.ceilings)
    seeds = config.all_seeds
    found: dict[str, Any] = {}
    with runner(_Training(config, texts), Processes(config.workers)) as run:
        for number, part in enumerate(parts):
            for arm in part:
                texts.make(arm)
            jobs = [(arm.name, seed) for seed in seeds for arm in part]
            left = [job for job in jobs if not (_folder(config, job) / _RESULT).is_file()]
            say(f"part {number + 1} of {len(parts)}: {len(left)} of {len(jobs)} trainings to do")
            for done, (job, _) in enumerate(run(left), 1):
                say(f"[{done}/{len(left)}] {Arm.of(job[0]).what}, seed {job[1]}: done")
            _same_made(config, Dataset(config.dataset))  # it took hours, in which somebody may have annotated anew
            found = _found(config, data, [arm for one in parts[: number + 1] for arm in one], seeds)
            write_json(config.out / "ablation.json", found)
            if not number and len(parts) > 1 and not config.regardless and not _seen(found):
                say("The ceilings do not differ enough to see what a loop does, so the other arms are not trained.")
                break
    return found


show = print_arms
"""What a person sees of the result."""


def _check(config: AblationConfig, data: Dataset) -> None:
    if not data.truth():
        raise ValueError(f"{config.dataset} has no truth, so nobody can tell which texts are right.")
    if not data.revisions():
        raise ValueError(f"{config.dataset} has no texts yet: annotate it first.")
    for split in ("train", "test"):
        if data.tiles(split).empty:
            raise ValueError(f"{config.dataset} has no {split} tile: give scenes of more places.")
    recipe = _pretrain_of(config, config.out, config.out, 0)
    check_lengths(recipe)
    if recipe.init.model:  # it must not know the places that all arms are asked about
        start, index = open_encoder(str(find_start(recipe.init.model))), data.tiles()
        check_unseen(start.card, data.fingerprint, index, data.tiles("test"), recipe.init.model)


def _same_made(config: AblationConfig, data: Dataset) -> None:
    """Keep what all arms are made with, or compare it with what is kept: names of a data set, a recipe's file and a
    model stay while what is in them changes."""
    recipe = config.recipe_changed()
    start = _pretrain_of(config, config.out, config.out, 0).init.model
    texts = {name: path for name in (TEXTS, MENTIONS) if (path := config.dataset / name).is_file()}
    now: dict[str, Any] = {
        "dataset_fingerprint": data.fingerprint,
        "labels_sha256": data.labels_sha256,
        **{f"{name} (sha256)": file_sha256(path) for name, path in texts.items()},
        "recipe": json.loads(json.dumps([recipe.get("pretrain", {}), recipe.get("finetune", {})], default=str)),
        "start_sha256": weights_sha256(str(find_start(start))) if start else "",
    }
    path = config.out / _MADE_WITH
    if not path.is_file():
        if any(config.out.glob(f"*/seed*/{_RESULT}")):
            say(f"  {config.out} holds trainings of a former version, which did not keep what they were made with.")
        write_json(path, now)
        return
    then = read_json(path)
    then = then if isinstance(then, dict) else {}
    if changed := sorted(key for key in {*then, *now} if then.get(key) != now.get(key)):
        raise ValueError(
            f"The arms of {config.out} were made with another {changed[0]}, and would not differ in their texts alone: "
            "put back what they were made with, or use another output folder."
        )


def _folder(config: AblationConfig, job: Job) -> Path:
    return config.out / job[0] / f"seed{job[1]}"


def _seen(found: Mapping[str, Any]) -> bool:
    return any(one["shown"] for one in found["power"].values())


def _found(config: AblationConfig, data: Dataset, arms: Sequence[Arm], seeds: Sequence[int]) -> dict[str, Any]:
    """The summary of what is finished, and how it came to be."""
    order = [arm for arm in all_arms(config.wrong, config.repairs) if arm in arms]
    results = {arm.name: [read_json(_folder(config, (arm.name, seed)) / _RESULT) for seed in seeds] for arm in order}
    every = [row for rows in results.values() for row in rows]
    return summary(results, *config.ceilings) | {
        "dataset_fingerprint": data.fingerprint,
        "recipe": config.recipe,
        "quick": config.quick,
        "set": list(config.set),
        "seeds": len(seeds),
        "generator": config.generator,
        "repairs": list(config.repairs),
        "steps": every[0]["steps"],
        "commits": sorted({row["commit"] for row in every if row.get("commit")}),
        "seconds": sum(row["seconds"] for row in every),
        **provenance(),
        "command": _command(config),
    }


def _command(config: AblationConfig) -> str:
    """What makes it again, without the names of folders: every setting that is not the usual one."""
    words = []
    for one in fields(config):
        value, usual = getattr(config, one.name), one.default
        usual = one.default_factory() if one.default_factory is not MISSING else usual
        if one.name in ("dataset", "out", "workers", "nice") or value == usual:
            continue
        told = json.dumps(plain(value)) if isinstance(value, list) or is_dataclass(value) else str(value).lower()
        words.append(f"--{one.name} {told!r}" if " " in told or '"' in told else f"--{one.name} {told}")
    return " ".join(["knowlip ablation DATASET --out DIR", *words])


# ---- one training ----------------------------------------------------------------------------------------------------


class _Training(Work[Job, Path]):
    """A pair of arm and seed: trained, fine-tuned and measured."""

    threaded = True

    def __init__(self, config: AblationConfig, texts: ArmTexts) -> None:
        self.config, self.texts = config, texts

    def open(self, number: int) -> Callable[[tuple[Job, int]], Path]:
        os.nice(max(0, self.config.nice - os.nice(0)))
        return self._do

    def prepare(self, item: Job, cores: int) -> tuple[Job, int]:
        return item, cores

    def name(self, item: Job) -> str:
        return f"{item[0]}, seed {item[1]}"

    def _do(self, given: tuple[Job, int]) -> Path:
        job, cores = given
        if self.config.workers > 1:
            torch.set_num_threads(max(1, cores * (os.cpu_count() or 1) // self.config.workers))
        path = _folder(self.config, job) / _RESULT
        write_json(path, _one(self.config, self.texts, Arm.of(job[0]), job[1], path.parent))
        for run in ("pretrain", "finetune"):  # what later arms go on from has another name
            (path.parent / run / "checkpoint.pt").unlink(missing_ok=True)
        return path


def _one(config: AblationConfig, texts: ArmTexts, arm: Arm, seed: int, folder: Path) -> dict[str, Any]:
    """Pre-train, measure, fine-tune and question one model."""
    # Every arm is trained and questioned by the commands' own functions, so that no arm gets a path of its own.
    dataset = texts.of(arm)
    if arm.loop and not arm.oracle:  # it writes revisions, each seed its own
        before = (
            config.out / arm.before.name / f"seed{seed}" / "dataset" if arm.loop == "ours" and arm.before else dataset
        )
        dataset = copy_dataset(before, folder / "dataset")
    run = folder / "pretrain"
    recipe = _pretrain_of(config, dataset, run, seed)
    _shared_cache(config.out, run)
    if arm.before is not None:
        go_on(arm, recipe, run, config.out / arm.before.name / f"seed{seed}" / "pretrain")
    trained = pretrain(training_of(arm, recipe, config.repairs))
    limits = MeasureLimits(tiles=config.test_tiles, questions_per_type=config.questions_per_type)
    bench, model = Bench(config.dataset, limits=limits, seed=config.question_seed), open_encoder(trained["model"])
    result: dict[str, Any] = {"chosen": chosen(bench, model, claim_pairs(bench))}
    if config.written_tiles:
        result["written"] = written(bench, model, config.written_tiles, config.generation)
    seconds = trained["seconds"]
    if config.finetune_tiles:
        _shared_cache(config.out, folder / "finetune")
        asked = {
            "dataset": str(config.dataset),
            "seed": seed,
            "model": trained["model"],
            "out": str(folder / "finetune"),
        }
        section = {"loggers": [], **config.recipe_changed().get("finetune", {}), **asked}
        taught = finetune(stage_config(FinetuneConfig, section), _few(config, seed))
        result["questions"] = answered(bench, open_encoder(taught["model"]))
        seconds += taught["seconds"]
    decides = arm.loop and not arm.oracle
    figures, decisions = (
        texts.figures(Dataset(dataset), trained["revision"]) if decides else (figures_of(dataset), None)
    )
    facts = {"arm": arm.name, "seed": seed, "steps": trained["steps"], "seconds": seconds, "commit": commit()}
    return {**facts, **result, "texts": figures, "decisions": decisions}


def _pretrain_of(config: AblationConfig, dataset: Path, run: Path, seed: int) -> PretrainConfig:
    """The recipe's training with the vocabulary that all arms share: of their texts, or of the model that all start
    from (`init.model`)."""
    section = {"loggers": [], "look_every": 0, **config.recipe_changed().get("pretrain", {})}
    places = {"dataset": str(dataset), "out": str(run), "seed": seed}
    found = stage_config(PretrainConfig, {**section, **places})
    return found if found.vocabulary or found.init.model else replace(found, vocabulary=config.out / "vocab.txt")


def _few(config: AblationConfig, seed: int) -> list[Example]:
    """Questions about a few training tiles, the same for all arms."""
    examples, _ = examples_of(Dataset(config.dataset))
    tiles = sorted({one.tile_id for one in examples})
    kept = np.random.default_rng([seed, 9]).permutation(len(tiles))[: config.finetune_tiles]
    few = {tiles[at] for at in kept}
    return [one for one in examples if one.tile_id in few]


def _shared_cache(out: Path, run: Path) -> None:
    """Let a training find the pixels that another one has decoded: they are the same for all arms."""
    cache = out / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    run.mkdir(parents=True, exist_ok=True)
    link = run / "cache"
    if not link.is_symlink():
        link.symlink_to(os.path.relpath(cache, run), target_is_directory=True)
