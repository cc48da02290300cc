"""What becomes of uploads: one after the other through `knowlip predict`, each in a process and a folder of its own.

A job ends as files that can be fetched by name for some hours, then it is deleted. How many there are, and what they
take of the disk, is bounded; when the server ends nothing of them stays.
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from knowlip.base.files import regular_file
from knowlip.base.progress import PROGRESS
from knowlip.inference.web.schema import JobFile, JobState, Task
from knowlip.inference.web.upload import quiet_environment, refusal_of
from knowlip.pages.server import Refused

_FILES: Final = (".geojson", ".gpkg", ".csv", ".parquet", ".tif", "-confidence.tif")
"""What of a result is given out; its report names paths of this machine and stays."""
_LINE: Final = re.compile(r"\s*(.{1,120}?): (\d+)/(\d+)(?:, (\d+) s left)?\s*")
_NICE: Final = 5
_SAID: Final = 200
"""Lines of what a process says that are kept."""
_COUNTS: Final = (
    *("windows", "window_m", "metres_per_pixel", "said_of", "left_out_without_data", "objects", "min_score", "km2"),
    *("km2_without_data", "seen_by_two_windows", "cut_by_their_window"),
)


@dataclass(frozen=True)
class JobLimits:
    """How much there may be."""

    jobs: int = 20
    disk_bytes: int = 4_000_000_000
    hours: float = 24.0
    minutes: float = 60.0
    """How long one may run."""


@dataclass
class Job:
    """One upload."""

    id: str
    name: str
    task: Task
    question: str
    folder: Path
    reserved: int
    """Bytes that it is expected to take."""
    state: str = "uploading"
    since: float = field(default_factory=time.monotonic)
    stage: str = ""
    done: int | None = None
    total: int | None = None
    seconds_left: int | None = None
    error: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)
    scene: Path | None = None


class Jobs:
    """The jobs of a server. Safe from threads.

    Args:
        folder: for them; it is emptied by `close`.
        lines: by task what `knowlip` is told besides the scene and where the result goes.
        limits: see there.
    """

    def __init__(self, folder: Path, lines: Mapping[Task, list[str]], limits: JobLimits) -> None:
        self.folder, self.limits = folder, limits
        self._lines = dict(lines)
        self._jobs: dict[str, Job] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._running: tuple[Job, subprocess.Popen[str]] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._work, name="knowlip-jobs", daemon=True)
        self._thread.start()

    @property
    def tasks(self) -> list[Task]:
        """What can be done with an upload."""
        return list(self._lines)

    def begin(self, name: str, task: Task, question: str, size: int) -> Job:
        """A place for an upload.

        Args:
            name: of the file, for people.
            task: one of `tasks`.
            question: of the task "ask".
            size: bytes that it may take.

        Raises:
            Refused: all places are taken, or the disk space is.
        """
        self.sweep()
        with self._changed:
            wait = {"Retry-After": "60"}
            if self._closed or len(self._jobs) >= self.limits.jobs:
                raise Refused(f"All {self.limits.jobs} places for uploads are taken: come back later.", 503, wait)
            if sum(job.reserved for job in self._jobs.values()) + size > self.limits.disk_bytes:
                raise Refused("The disk space for uploads is taken: come back later.", 503, wait)
            number = secrets.token_hex(16)
            job = Job(number, name, task, question, self.folder / number, size)
            job.folder.mkdir(mode=0o700)
            self._jobs[number] = job
        return job

    def start(self, job: Job, scene: Path, facts: Mapping[str, Any]) -> None:
        """Let a job wait for its turn: its file is there and understood."""
        with self._changed:
            job.scene, job.facts, job.state, job.stage = scene, dict(facts), "waiting", "waits for its turn"
            job.reserved = max(_bytes_of(job.folder), 1)
            self._changed.notify_all()

    def drop(self, number: str) -> None:
        """Delete a job, and end its process.

        Raises:
            Refused: there is none.
        """
        with self._changed:
            job = self._jobs.pop(number, None)
            if job is None:
                raise Refused("There is no such job; it may have been deleted.", 404)
            if self._running is not None and self._running[0] is job:
                _kill(self._running[1])
                return  # its thread removes the folder
        shutil.rmtree(job.folder, ignore_errors=True)

    def discard(self, number: str) -> None:
        """The same, where it may be gone already."""
        with suppress(Refused):
            self.drop(number)

    def state(self, number: str) -> JobState:
        """How far a job is.

        Raises:
            Refused: there is none.
        """
        self.sweep()
        job = self._job(number)
        state: Any = "waiting" if job.state == "uploading" else job.state
        left = max(0, int(job.since + 3600 * self.limits.hours - time.monotonic()))
        files = [JobFile(name=name, bytes=path.stat().st_size) for name, path in job.files.items() if path.is_file()]
        return JobState(
            id=job.id,
            file=job.name,
            task=job.task,
            question=job.question,
            state=state,
            stage=job.stage,
            done=job.done,
            total=job.total,
            seconds_left=job.seconds_left,
            error=job.error,
            notes=job.notes,
            facts=job.facts,
            result=job.result,
            files=files,
            deleted_in_s=left,
        )

    def file(self, number: str, name: str) -> Path:
        """A file of a result by one of the names that its state lists.

        Raises:
            Refused: there is none.
        """
        path = self._job(number).files.get(name)
        if path is None or not path.is_file():
            raise Refused("The job has no such file.", 404)
        return regular_file(path)

    def sweep(self) -> None:
        """Delete what is older than it may be; what is uploaded or worked on is left."""
        oldest = time.monotonic() - 3600 * self.limits.hours
        with self._changed:
            ended = [job for job in self._jobs.values() if job.state in ("done", "failed") and job.since < oldest]
            for job in ended:
                del self._jobs[job.id]
        for job in ended:
            shutil.rmtree(job.folder, ignore_errors=True)

    def close(self) -> None:
        """End what runs, and delete everything."""
        with self._changed:
            self._closed = True
            if self._running is not None:
                _kill(self._running[1])
            self._changed.notify_all()
        self._thread.join(20)
        for job in self._jobs.values():
            shutil.rmtree(job.folder, ignore_errors=True)
        self._jobs = {}
        with suppress(OSError):
            self.folder.rmdir()

    def _job(self, number: str) -> Job:
        with self._changed:
            job = self._jobs.get(number)
        if job is None:
            raise Refused("There is no such job; it may have been deleted.", 404)
        return job

    # ---- the thread that works ----

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                self._run(job)
            except Exception as error:  # nothing of one job may end the others
                job.error, job.state = f"The job could not be done ({type(error).__name__}).", "failed"
            finally:
                self._end(job)

    def _next(self) -> Job | None:
        with self._changed:
            while not self._closed:
                for job in self._jobs.values():
                    if job.state == "waiting":
                        job.state, job.stage = "running", "loads the model"
                        return job
                self._changed.wait(60)
                self._sweep_soon()
        return None

    def _sweep_soon(self) -> None:
        threading.Thread(target=self.sweep, daemon=True).start()

    def _run(self, job: Job) -> None:
        """Run the command, and take in how far it is."""
        assert job.scene is not None
        out = job.folder / "out"
        line = [sys.executable, "-m", "knowlip.cli", "predict", job.task, str(job.scene), "--out", str(out), "--json"]
        line += self._lines[job.task] + (["--question", job.question] if job.task == "ask" else [])
        said: list[str] = []
        report = job.folder / "report.json"
        with report.open("w") as results:
            process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=results,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                cwd=job.folder,
                env=quiet_environment(**{PROGRESS: "0.5"}),
                start_new_session=True,
            )
            with self._changed:
                self._running = job, process
                gone = self._closed or job.id not in self._jobs
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)  # questions of the page come first
            timer = threading.Timer(60 * self.limits.minutes, _kill, [process])
            timer.start()
            try:
                if gone:
                    _kill(process)
                assert process.stderr is not None
                for text in process.stderr:
                    said = [*said[-_SAID:], text.rstrip("\n")[:2000]]
                    _take(job, said[-1])
                code = process.wait()
            finally:
                timer.cancel()
                _kill(process)
                process.wait()
                with self._changed:
                    self._running = None
        if code < 0:
            job.error = f"It was ended: it ran longer than {self.limits.minutes:g} minutes, or memory ran out."
            job.state = "failed"
        elif code not in (0, 1) or not report.stat().st_size:  # 1: some images of the product could not be used
            job.error, job.state = refusal_of("\n".join(said), job.scene, job.name), "failed"
        else:
            self._finish(job, out, report)

    def _finish(self, job: Job, out: Path, report: Path) -> None:
        found_all = json.loads(report.read_text())
        told = found_all["scenes"][0]
        name = str(told["scene_id"])
        found = {ending: out / f"{name}{ending}" for ending in _FILES}
        job.files = {f"{job.task}{ending}": path for ending, path in found.items() if path.is_file()}
        job.result = {key: told[key] for key in _COUNTS if key in told}
        hidden = str(job.scene)
        notes = [*told["notes"], *(f"Left out: {one['reason']}" for one in found_all["failed"])]
        job.notes = [str(note).replace(hidden, job.name).replace(Path(hidden).name, job.name) for note in notes]
        job.state = "done"

    def _end(self, job: Job) -> None:
        """The upload itself is not needed any more."""
        if job.scene is not None:
            job.scene.unlink(missing_ok=True)
        with self._changed:
            job.stage, job.since, job.seconds_left = "", time.monotonic(), None
            gone = job.id not in self._jobs or self._closed
            job.reserved = _bytes_of(job.folder)
        if gone:
            shutil.rmtree(job.folder, ignore_errors=True)


def _take(job: Job, line: str) -> None:
    """How far a job is, from what its process says."""
    if found := _LINE.fullmatch(line):
        # The title names the scene, whose name here is ours.
        stage = re.sub(r" (in|of) [^ ]*$", "", found[1].strip())
        job.stage, job.done, job.total = stage, int(found[2]), int(found[3])
        job.seconds_left = int(found[4]) if found[4] else None


def _kill(process: "subprocess.Popen[str]") -> None:
    """End a process and all it started."""
    if process.poll() is None:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


def _bytes_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total
