"""A pass on a Ray cluster: one task a chunk. The machines must see data set and model under the same paths."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from knowlip.base.progress import quiet, track
from knowlip.jobs.parts import PartStore, chunks
from knowlip.jobs.ray_cluster import ATTEMPTS, connect, dispatch, machines_of
from knowlip.jobs.spread import Job, Plan, tell

_VERSIONS: Final = ("knowlip", "torch", "timm", "numpy", "tokenizers")
"""Packages that decide the figures."""
_QUEUED_PER_PLACE: Final = 2
_opened: dict[str, Job] = {}
"""The job of this process: a worker of the cluster does many chunks of it."""


def on_cluster(job: Job, plan: Plan, store: PartStore, size: int, address: str, gpu: bool) -> dict[str, pa.Table]:
    """Do all that is not finished on the cluster at `address`.

    Args:
        job: opened here, for what there is to do.
        plan: opens it on the machines.
        store: where finished chunks are; begun, on storage that all machines share.
        size: items a chunk.
        address: "auto", or "host:port".
        gpu: a task takes a whole GPU; else a core.

    Raises:
        ValueError: Ray is not installed, there is no such cluster, a machine of it has other packages or does not see
            the data set, or a chunk ends its process again and again.
    """
    ray, ours = connect(address)
    tables: dict[str, pa.Table] = {}
    try:
        for phase in job.phases:
            parts = len(chunks(job.count(phase, tables), size))
            todo = store.todo(phase, parts)
            tell(phase, parts, len(todo))
            done = _dispatch(ray, plan, store, Phase(phase, size, todo, tables), gpu)
            for _ in track(done, f"{phase}: chunks of {size}", len(todo)):
                pass
            tables[phase] = store.read(phase, parts)
    finally:
        if ours:
            ray.shutdown()
    return tables


@dataclass(frozen=True)
class Phase:
    """What a machine must know of a phase."""

    name: str
    size: int
    """Items a chunk."""
    todo: list[int]
    """Chunks to do."""
    before: dict[str, pa.Table]
    """Rows of the phases before it."""


def _dispatch(ray: Any, plan: Plan, store: PartStore, phase: Phase, gpu: bool) -> Iterator[int]:
    """A task a chunk; yield the numbers of those that are done."""
    needs = {"num_cpus": 0, "num_gpus": 1} if gpu else {"num_cpus": 1}
    task = ray.remote(max_retries=0, **needs)(do_chunk)
    kind = "GPU" if gpu else "CPU"
    places = sum(int(node["Resources"].get(kind, 0)) for node in machines_of(ray))
    if phase.todo and not places:
        raise ValueError(f"The Ray cluster has no machine with a free {kind} for tasks.")
    folder, known = str(store.folder.resolve()), ray.put(replace(phase, todo=[]))
    done = dispatch(
        ray, phase.todo, lambda number: task.remote(plan, folder, known, number, versions()),
        _QUEUED_PER_PLACE * places, lambda number: f"chunk {number}",
    )  # fmt: skip
    with closing(done):
        for number, _, lost in done:
            if lost:
                raise ValueError(f"Chunk {number} of {phase.name} ended its process {ATTEMPTS} times.") from lost
            yield number


def do_chunk(plan: Plan, folder: str, phase: Phase, number: int, expected: dict[str, str]) -> None:
    """What a task does, on whatever machine.

    Raises:
        ValueError: other packages here, or the folder is not there.
    """
    for name, theirs in expected.items():
        if (mine := versions()[name]) != theirs:
            raise ValueError(f"it has {name} {mine or 'not installed'}, the machine that asks has {theirs}")
    store = PartStore(Path(folder))
    if not (store.folder / "settings.json").exists():
        raise ValueError(f"it does not see {folder}: the data set must lie on storage that all machines share")
    if (key := repr(plan)) not in _opened:
        _opened.clear()
        _opened[key] = plan.open()
    job = _opened[key]
    items = chunks(job.count(phase.name, phase.before), phase.size)[number]
    with quiet():
        store.write(phase.name, number, job.work(phase.name, items, phase.before))


def versions() -> dict[str, str]:
    """Versions of the packages that decide the figures, "" where one is not installed."""
    found = {}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "of a checkout" if name == "knowlip" else ""
    return found
