"""`knowlip scio screen` and `knowlip scio reconstruct`: SCIO's passes over a data set, without a training.

A pass writes one revision. Until then its finished chunks are kept in DATASET/.scio, so that a killed pass goes on
where it was. The same command again finds its revision and changes nothing.
"""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from knowlip.base.files import sha256
from knowlip.base.progress import say
from knowlip.dataset import Dataset
from knowlip.dataset.figures import read_figures, write_figures
from knowlip.dataset.texts import read_revision
from knowlip.jobs.launch import joined, launched
from knowlip.jobs.phases import do_phases
from knowlip.jobs.store import TABLES, Store, alone
from knowlip.jobs.work import Processes, Ranks, Ray, Where
from knowlip.scio.job import Action, AnyJob, PassConfig, PassPlan, planned

_DECIDE: Final = ("knowlip", "torch", "timm", "numpy", "tokenizers")
"""Packages that decide the figures."""


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
    learned = "injected noise" if result.get("injected", {}).get("learned_from") != "truth" else "errors known by truth"
    return f"revision {result['revision']} on {result['parent']}: {made}" + (f"; {learned}: {told}" if told else "")


def _pass(action: Action, config: PassConfig) -> dict[str, Any]:
    if config.chunk < 1 or config.processes < 1 or config.workers < 1:
        raise ValueError("chunk, processes and workers must be 1 or more.")
    if config.ray and (config.processes > 1 or launched()):
        raise ValueError("A pass is done by several processes or on a Ray cluster, not both.")
    Dataset(config.dataset)  # no folder is made where there is no data set
    lock = alone(config.dataset / ".scio" / "lock", f"Another pass over {config.dataset} is under way.")
    with joined() as ranks, lock if ranks.rank == 0 else nullcontext():
        # The processes of a pool, each with a GPU of its own, leave none for this one; it only plans and decides.
        spread = config.processes > 1 and not launched()
        here = replace(config, device="cpu") if spread else config
        job, name, found = (None, "", None) if ranks.rank else _opened(action, here, ranks.local)
        plan, name, found = ranks.agreed((planned(job.plan, job) if job else None, name, found))
        if found is not None:
            return found
        if job is None:
            job = plan.open(ranks.local)
        store = Store(config.dataset / ".scio" / name, TABLES)
        if ranks.rank == 0:
            store.begin(job.settings())
        ranks.agreed(None)
        where: Where = Processes(config.processes) if spread else ranks
        if config.ray:
            where = _cluster(config, store.folder, job.on_gpu)
        return ranks.agreed(_decide(job, replace(plan, config=_anywhere(config)), store, name, where))


def _anywhere(config: PassConfig) -> PassConfig:
    """The same with the paths by which other machines find data set and checkpoint; a name on the hub stays one."""
    checkpoint, *models = [path.resolve() if path.exists() else path for path in (config.checkpoint, *config.models)]
    return replace(config, dataset=config.dataset.resolve(), checkpoint=checkpoint, models=models)


def _cluster(config: PassConfig, folder: Path, gpu: bool) -> Ray:
    """What the machines of a cluster must have and see."""
    seen = tuple(path for path in (config.dataset, config.checkpoint, *config.models) if path.exists())
    return Ray(config.ray, folder, seen, _DECIDE, gpu)


def _opened(action: Action, config: PassConfig, number: int) -> tuple[AnyJob, str, dict[str, Any] | None]:
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
        job, name = _named(PassPlan(action, config, config.revision), number)
        return job, name, _found(dataset, job, name, dataset.find_revision(name))
    newest = there[-1]
    run, parent = _origin(dataset, newest)
    if run.startswith(f"scio-{action}-"):
        job, name = _named(PassPlan(action, config, parent), number)
        if name == run:
            return job, name, _found(dataset, job, name, newest)
    job, name = _named(PassPlan(action, config, newest), number)
    return job, name, _found(dataset, job, name, None)


def _named(plan: PassPlan, number: int) -> tuple[AnyJob, str]:
    job = plan.open(number)
    return job, f"scio-{plan.action}-{sha256(json.dumps(job.settings(), sort_keys=True).encode())[:8]}"


def _found(dataset: Dataset, job: AnyJob, name: str, revision: int | None) -> dict[str, Any] | None:
    """What an earlier call has decided, or that there is nothing to decide; None where there is work."""
    parent = job.plan.revision
    if job.plan.action == "reconstruct" and not job.noisy:
        say(f"nothing in revision {parent} is called noise: there is nothing to write anew")
        return {"revision": parent, "parent": parent, "run": "", "candidates": 0}
    figures = read_figures(dataset.path, revision) if revision is not None else {}
    if not figures:  # not begun, or killed between the revision and its figures
        return None
    say(f"revision {revision} holds these decisions already")
    Store(dataset.path / ".scio" / name, TABLES).remove()
    return {"revision": revision, "parent": parent, "run": name, **figures}


def _origin(dataset: Dataset, revision: int) -> tuple[str, int]:
    """The run that wrote a revision, and the revision that it decided on."""
    table = read_revision(dataset.path, revision)
    if not len(table):
        return "", revision - 1
    return table["run"][0].as_py(), table["parent"][0].as_py()


def _decide(job: AnyJob, plan: PassPlan, store: Store[pa.Table], name: str, where: Where) -> dict[str, Any] | None:
    """Do the chunks; the first process then writes the revision, its figures, and forgets the chunks, in this order."""
    tables = do_phases(plan, job, store, plan.config.chunk, where)
    if isinstance(where, Ranks) and where.rank:
        return None
    rows, figures = job.decide(tables)
    dataset = Dataset(plan.config.dataset)
    revision = dataset.append_revision(rows, name, parent=plan.revision)
    figures["settings"] = job.settings()
    write_figures(dataset.path, revision, figures)
    store.remove()
    return {"revision": revision, "parent": plan.revision, "run": name, **figures}
