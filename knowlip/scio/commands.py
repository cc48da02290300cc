"""`knowlip scio screen` and `knowlip scio reconstruct`: SCIO's passes over a data set, without a training.

A pass writes one revision. Until then its finished chunks are kept in DATASET/.scio, so that a killed pass goes on
where it was. The same command again finds its revision and changes nothing.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from knowlip.base.files import sha256
from knowlip.base.parquet import read_parquet
from knowlip.base.progress import say
from knowlip.dataset import Dataset
from knowlip.dataset.figures import read_figures, write_figures
from knowlip.dataset.texts import TEXT_SCHEMA, revision_path
from knowlip.jobs.launch import launch, launched
from knowlip.jobs.parts import PartStore
from knowlip.jobs.scio_cluster import on_cluster
from knowlip.jobs.spread import Ranks, in_processes, ranks
from knowlip.scio.job import Action, PassConfig, PassPlan, ScioJob, planned


def scio_screen(config: PassConfig) -> dict[str, Any]:
    """Decide of every sub-text whether it is noise: a revision of `kept` and `screened`.

    Returns:
        `revision` (the one written, or found), `parent` (that it decided on), `run`, and the figures of the pass.

    Raises:
        ValueError: no texts, model or cluster; settings that make no sense; no noise could be injected.
    """
    return _pass("screen", config)


def scio_reconstruct(config: PassConfig) -> dict[str, Any]:
    """Write anew what screening called noise: a revision of `rewritten`, `rejected` and `kept`.

    Returns:
        As :func:`scio_screen`; where nothing is called noise, no revision is written and `revision` is the parent.

    Raises:
        ValueError: as :func:`scio_screen`.
    """
    return _pass("reconstruct", config)


def show(result: dict[str, Any]) -> str:
    """The result for people."""
    if "screened" in result:
        made = f"{result['screened']:,} of {result['sub_texts']:,} sub-texts are noise"
    else:
        made = f"{result.get('rewritten', 0):,} of {result['candidates']:,} noisy sub-texts were written anew"
    figures = {name: value for name, value in result.get("injected", {}).items() if isinstance(value, int | float)}
    told = ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
    return f"revision {result['revision']} on {result['parent']}: {made}" + (
        f"; injected noise: {told}" if told else ""
    )


def _pass(action: Action, config: PassConfig) -> dict[str, Any]:
    if config.chunk < 1 or config.processes < 1 or config.workers < 1:
        raise ValueError("chunk, processes and workers must be 1 or more.")
    if config.ray and (config.processes > 1 or launched()):
        raise ValueError("A pass is done by several processes or on a Ray cluster, not both.")
    return launch(_everywhere, config.processes, action, config)


def _everywhere(action: Action, config: PassConfig) -> dict[str, Any]:
    """What every process does."""
    with ranks() as where:
        config = _with_device(config)
        job, name, found = (None, "", None) if where.rank else _opened(action, config)
        plan, name, found = where.agreed((planned(job.plan, job) if job else None, name, found))
        if found is not None:
            return found
        if job is None:
            job = PassPlan(action, config, plan.revision, plan.model).open()
        store = PartStore(config.dataset / ".scio" / name)
        if where.rank == 0:
            store.begin(job.settings())
        where.agreed(None)
        return where.agreed(_decide(job, plan, store, name, where))


def _opened(action: Action, config: PassConfig) -> tuple[ScioJob, str, dict[str, Any] | None]:
    """The job, the name of its revision, and the result where it is done already.

    Without a revision in the settings the newest is meant; but where the newest is what this very pass wrote, its
    parent: a second call must find its own work and not begin another on top.
    """
    dataset = Dataset(config.dataset)
    there = dataset.revisions()
    if not there:
        raise ValueError(f"{config.dataset} has no texts yet: annotate it first.")
    if config.revision is not None:
        if config.revision not in there:
            raise ValueError(f"{config.dataset} has no text revision {config.revision}; it has 0 to {there[-1]}.")
        job, name = _named(PassPlan(action, config, config.revision))
        return job, name, _found(dataset, job, name, dataset.find_revision(name))
    newest = there[-1]
    run, parent = _origin(dataset, newest)
    if run.startswith(f"scio-{action}-"):
        job, name = _named(PassPlan(action, config, parent))
        if name == run:
            return job, name, _found(dataset, job, name, newest)
    job, name = _named(PassPlan(action, config, newest))
    return job, name, _found(dataset, job, name, None)


def _named(plan: PassPlan) -> tuple[ScioJob, str]:
    job = plan.open()
    return job, f"scio-{plan.action}-{sha256(json.dumps(job.settings(), sort_keys=True).encode())[:8]}"


def _found(dataset: Dataset, job: ScioJob, name: str, revision: int | None) -> dict[str, Any] | None:
    """What an earlier call has decided, or that there is nothing to decide; None where there is work."""
    parent = job.plan.revision
    if job.plan.action == "reconstruct" and not job.noisy:
        say(f"nothing in revision {parent} is called noise: there is nothing to write anew")
        return {"revision": parent, "parent": parent, "run": "", "candidates": 0}
    figures = read_figures(dataset.path, revision) if revision is not None else {}
    if not figures:  # not begun, or killed between the revision and its figures
        return None
    say(f"revision {revision} holds these decisions already")
    PartStore(dataset.path / ".scio" / name).remove()
    return {"revision": revision, "parent": parent, "run": name, **figures}


def _origin(dataset: Dataset, revision: int) -> tuple[str, int]:
    """The run that wrote a revision, and the revision that it decided on."""
    table = read_parquet(revision_path(dataset.path, revision), TEXT_SCHEMA)
    if not len(table):
        return "", revision - 1
    return table["run"][0].as_py(), table["parent"][0].as_py()


def _decide(job: ScioJob, plan: PassPlan, store: PartStore, name: str, where: Ranks) -> dict[str, Any] | None:
    """Do the chunks; the first process then writes the revision, its figures, and forgets the chunks, in this order."""
    config = plan.config
    if config.ray:
        there = replace(plan, config=replace(config, dataset=config.dataset.resolve(), checkpoint=_path(config)))
        tables = on_cluster(job, there, store, config.chunk, config.ray, job.on_gpu)
    else:
        tables = in_processes(job, store, config.chunk, where)
    if where.rank:
        return None
    rows, figures = job.decide(tables)
    dataset = Dataset(config.dataset)
    revision = dataset.append_revision(rows, name, parent=plan.revision)
    figures["settings"] = job.settings()
    write_figures(config.dataset, revision, figures)
    store.remove()
    return {"revision": revision, "parent": plan.revision, "run": name, **figures}


def _path(config: PassConfig) -> Path:
    """The checkpoint as other machines find it; a name on the hub stays one."""
    return config.checkpoint.resolve() if config.checkpoint.exists() else config.checkpoint


def _with_device(config: PassConfig) -> PassConfig:
    """Each of several processes takes a GPU of its own."""
    import torch

    if not launched() or config.device not in ("auto", "cuda") or not torch.cuda.is_available():
        return config
    number = int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count()
    return replace(config, device=f"cuda:{number}")
