"""Scenes cut on a Ray cluster: one task a scene, results as they come, a lost machine's scenes done again elsewhere."""

import uuid
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any

from knowlip.jobs.ray_cluster import PATIENCE_S, connect, dispatch, machines_of
from knowlip.tiles.plan import BuildConfig, PlannedScene

VERSIONS = ("knowlip", "numpy", "rasterio", "pyproj", "pillow")
"""Packages that decide the bytes of a data set."""
_QUEUED_PER_CORE = 2


def on_cluster(
    config: BuildConfig, todo: list[PlannedScene], attempt: Callable[..., str]
) -> Generator[tuple[str, str], None, None]:
    """Cut scenes on the cluster at `config.ray`.

    Args:
        config: the build's settings.
        todo: the scenes, in the order in which they are begun.
        attempt: does the job of a scene; "" or the reason why the scene cannot be used.

    Yields:
        Identifier of a scene and "" or a reason, as they are done.

    Raises:
        ValueError: Ray is not installed, there is no cluster, or a machine of it lacks knowlip or the folders.
        OSError: a machine cannot write to `out`.
    """
    ray, ours = connect(config.ray)
    try:
        _check_machines(ray, config, todo)
        yield from _dispatch(ray, config, todo, attempt)
    finally:
        if ours:
            ray.shutdown()


def _check_machines(ray: Any, config: BuildConfig, todo: list[PlannedScene]) -> None:
    """Ask every machine whether it has the same packages, sees the scenes, and sees and can write `out`."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    machines = machines_of(ray)
    if not machines:
        raise ValueError(f"The Ray cluster at {config.ray!r} has no machine with a free core for tasks.")
    out = config.out.resolve()
    token, text = out / f".cluster-{uuid.uuid4().hex}.part", uuid.uuid4().hex
    token.write_text(text)
    folders = sorted({str(item.scene.path.resolve().parent) for item in todo})
    try:
        probe = _probe()
        ours = probe(str(token), text, folders, VERSIONS)["versions"]
        ask = ray.remote(num_cpus=0, max_retries=0)(probe)
        asked = {
            node["NodeManagerAddress"]: ask.options(
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(str(token), text, folders, VERSIONS)
            for node in machines
        }
        for machine, answer in asked.items():
            try:
                found = ray.get(answer, timeout=PATIENCE_S)
            except ray.exceptions.RayError as error:
                raise ValueError(
                    f"Machine {machine} of the cluster does not answer ({type(error).__name__})."
                ) from error
            _judge(machine, found, ours, out)
    finally:
        token.unlink(missing_ok=True)


def _judge(machine: str, found: dict[str, Any], ours: dict[str, str], out: Path) -> None:
    """Raise `ValueError` for a machine that would not write the same data set to the same place."""
    for name, theirs in found["versions"].items():
        if not theirs:
            raise ValueError(f"Machine {machine} of the cluster has no {name}; install knowlip in its Python.")
        if theirs != ours[name]:
            raise ValueError(
                f"Machine {machine} of the cluster has {name} {theirs} and this one {ours[name]}: "
                "the bytes of a data set depend on it; install the same version."
            )
    if found["error"]:
        raise ValueError(
            f"Machine {machine} of the cluster does not share {out} with this one ({found['error']}): "
            "scenes and out must lie on storage that all machines mount under the same path."
        )
    if found["missing"]:
        raise ValueError(
            f"Machine {machine} of the cluster does not see {found['missing'][0]}: "
            "scenes must lie on storage that all machines mount under the same path."
        )


def _probe() -> Callable[..., dict[str, Any]]:
    """A function that says what a machine has. It is sent by value: it must run where knowlip is not installed."""

    def probe(token: str, text: str, folders: list[str], names: tuple[str, ...]) -> dict[str, Any]:
        import uuid
        from importlib import import_module
        from importlib.metadata import PackageNotFoundError, version
        from pathlib import Path

        versions = {}
        for name in names:
            try:
                if name == "knowlip":
                    import_module("knowlip.tiles.pool")
                versions[name] = version(name)
            except PackageNotFoundError:  # knowlip may also run from a checkout
                versions[name] = "of a checkout" if name == "knowlip" else ""
            except ImportError:
                versions[name] = ""
        error = ""
        try:
            if Path(token).read_text() != text:
                error = "it sees another file there"
            mine = Path(token).with_name(f".cluster-{uuid.uuid4().hex}.part")
            mine.write_text(text)
            mine.unlink()
        except OSError as problem:
            error = problem.strerror or str(problem)
        missing = [name for name in folders if not Path(name).is_dir()]
        return {"versions": versions, "error": error, "missing": missing}

    return probe


def _dispatch(
    ray: Any, config: BuildConfig, todo: list[PlannedScene], attempt: Callable[..., str]
) -> Generator[tuple[str, str], None, None]:
    """A task a scene, a few per core queued."""
    from knowlip.tiles.pool import killed, make_job

    cores = [int(node["Resources"]["CPU"]) for node in machines_of(ray)]
    threads = max(1, min(sum(cores) // len(todo), *cores))
    task = ray.remote(num_cpus=threads, max_retries=0)(attempt)
    done = dispatch(
        ray, todo, lambda item: task.remote(make_job(config, item, threads)),
        _QUEUED_PER_CORE * sum(cores) // threads, lambda item: item.scene.path.name,
    )  # fmt: skip
    with closing(done):
        for item, reason, lost in done:
            yield item.scene.scene_id, killed(item.scene.path) if lost else reason
