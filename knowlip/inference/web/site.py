"""Everything behind the page, opened together and closed together."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from knowlip.base.files import file_sha256
from knowlip.inference.archive.parts import SceneArchive
from knowlip.inference.opened import open_model
from knowlip.inference.serve import make_endpoint
from knowlip.inference.settings import ServeConfig
from knowlip.inference.web.api import make_api
from knowlip.inference.web.archive import WebArchive
from knowlip.inference.web.batcher import Batcher
from knowlip.inference.web.desk import Desk
from knowlip.inference.web.gate import Gate
from knowlip.inference.web.jobs import JobLimits, Jobs
from knowlip.inference.web.model import ModelWork, WindowDetector
from knowlip.inference.web.schema import Task
from knowlip.models import KnowLIP
from knowlip.models.device import chosen
from knowlip.models.hub import WEIGHTS
from knowlip.tasks.detect_folder import detector_count_scores, detector_taught_on, load_detector, model_folder
from knowlip.tiles.places import describe_places

_CHAT: Final = "/v1"
_SPARE_THREADS: Final = 16
"""Threads for pictures, maps and files beside those that wait for the model."""


@contextmanager
def open_site(config: ServeConfig, key: str = "") -> Iterator[Any]:
    """An archive with its model as an ASGI application; when the block ends, its threads and uploads do too.

    Args:
        config: with the archive in `index`.
        key: that clients must send; "" = none.

    Raises:
        ValueError: no archive or model, an archive of another model, or no detector.
    """
    assert config.index is not None
    archive = SceneArchive(config.index)
    model, folder = open_model(config.model, config.device)
    if file_sha256(folder / WEIGHTS) != archive.model_sha256:
        raise ValueError(f"{config.index} holds the vectors of another model than {folder}: name that one by --model.")
    if not len(archive):
        raise ValueError(f"{config.index} holds no window: add scenes by `knowlip index`.")
    detector = _detector_of(config)
    with tempfile.TemporaryDirectory(prefix="knowlip-serve-", dir=_made(config.work)) as work:
        yield from _opened(config, key, archive, model, folder, detector, Path(work))


def _opened(
    config: ServeConfig,
    key: str,
    archive: SceneArchive,
    model: KnowLIP,
    folder: Path,
    detector: WindowDetector | None,
    work: Path,
) -> Iterator[Any]:
    # The gazetteers take a second to load: not the first visitor's.
    threading.Thread(target=describe_places, args=([0.0], [0.0]), daemon=True).start()
    lock = threading.Lock()
    looking = ModelWork(model, lock, detector)
    batcher = Batcher(looking.handlers(), most_waiting=config.max_waiting)
    jobs: Jobs | None = None
    try:
        web = WebArchive(archive, batcher, float(model.temp.detach()), looking)
        if config.uploads:
            jobs = Jobs(work / "jobs", _lines(config, folder), _limits(config))
        desk = Desk(config, folder, web, batcher, looking, jobs)
        app = make_api(desk)
        if config.openai:
            from starlette.routing import Mount

            chat = make_endpoint(model, config, key, "", lock, folder)
            app.router.routes.append(Mount(_CHAT, chat))

        async def widen() -> None:
            import anyio.to_thread

            # A request waits for the model in a thread: none must be kept from it by others that wait.
            anyio.to_thread.current_default_thread_limiter().total_tokens = config.max_waiting + _SPARE_THREADS

        unbounded = ("/api/jobs", _CHAT)
        yield Gate(app, key, int(config.max_body_mb * 1e6), unbounded, before=widen)
    finally:
        batcher.close()
        if jobs is not None:
            jobs.close()


def _made(folder: Path | None) -> Path | None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _detector_of(config: ServeConfig) -> WindowDetector | None:
    if config.detector is None:
        return None
    folder = model_folder(config.detector)
    taught = detector_taught_on(folder)
    return WindowDetector(
        load_detector(folder, chosen(config.device)), taught, detector_count_scores(folder, config.min_score)
    )


def _limits(config: ServeConfig) -> JobLimits:
    return JobLimits(config.max_jobs, int(config.max_disk_mb * 1e6), config.job_hours, config.job_minutes)


def _lines(config: ServeConfig, folder: Path) -> dict[Task, list[str]]:
    """What the commands are told for each task that this server can do."""
    device, words = ["--device", config.device], ["--model", str(folder.resolve())]
    lines: dict[Task, list[str]] = {"caption": [*device, *words], "ask": [*device, *words]}
    if config.detector is not None:
        scores = [] if config.min_score is None else ["--min_score", f"{config.min_score:g}"]
        lines["detect"] = [*device, *scores, "--model", str(config.detector.resolve())]
    if config.segmenter is not None:
        lines["segment"] = [*device, "--confidence", "true", "--model", str(config.segmenter.resolve())]
    return lines
