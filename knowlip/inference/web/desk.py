"""What the page's requests come to, apart from HTTP."""

import asyncio
import io
import math
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import matplotlib
import numpy as np
from PIL import Image

from knowlip.base.documents import check_text
from knowlip.base.generation import GenerationConfig
from knowlip.inference.replies import Asker, asker_of, said
from knowlip.inference.settings import ANSWER_TOKENS, ServeConfig
from knowlip.inference.web.archive import WebArchive, corners_of
from knowlip.inference.web.batcher import Batcher
from knowlip.inference.web.jobs import Job, Jobs
from knowlip.inference.web.model import AskedOf, ModelWork, WordsOf, token_probability_of
from knowlip.inference.web.schema import (
    AnswerGiven,
    ArchiveFacts,
    CaptionGiven,
    DetectionsFound,
    EvidenceAsked,
    JobState,
    Known,
    SourceFacts,
    Task,
    UploadLimits,
)
from knowlip.inference.web.upload import check_zip, ending_of, plain_name, understood
from knowlip.inference.written import question_tokens, unknown_words
from knowlip.pages.server import Refused
from knowlip.tasks.metrics.boxes import CORNERS

_HEAD: Final = 64
_IDLE_S: Final = 60
"""How long an upload may pause."""
_UPLOAD_S: Final = 3600
"""How long it may take: a place that is held for ever is a place less."""
_UNPACKED: Final = 3
"""What a zip may unpack to, in largest uploads."""
_LEAST_SIDE: Final = 512
_KEPT_QUESTIONS: Final = 256


class Desk:
    """Answers requests. Safe from threads.

    Args:
        config: names and limits.
        folder: of the model.
        archive: the windows.
        batcher: asks the model.
        work: the model's side of it.
        jobs: uploads, None where none are taken.
    """

    def __init__(
        self,
        config: ServeConfig,
        folder: Path,
        archive: WebArchive,
        batcher: Batcher,
        work: ModelWork,
        jobs: Jobs | None,
    ) -> None:
        self.config, self.archive, self._batcher, self._work, self.jobs = config, archive, batcher, work, jobs
        self._folder, self._asking = folder, threading.Lock()
        self._askers: OrderedDict[str, tuple[Asker, list[str]]] = OrderedDict()
        self._facts = self._describe(folder)

    def facts(self) -> ArchiveFacts:
        """What there is."""
        return self._facts

    def _describe(self, folder: Path) -> ArchiveFacts:
        # Said once: it reads a column of every window.
        parts = self.archive.archive.parts
        columns = {
            name: np.concatenate([part.rows[name].to_numpy(zero_copy_only=False) for part in parts])
            for name in ("lon", "lat", "resolution_m", "sensor", "band")
        }
        lon, lat, spacing = (columns[name].astype(float) for name in ("lon", "lat", "resolution_m"))
        placed = np.isfinite(lon) & np.isfinite(lat)
        dates = sorted({date[:10] for part in parts for date in np.unique(part.dates) if date})
        taught = self._work.model.card.get("windows_m") or []
        shown = np.sort(spacing[np.isfinite(spacing)])
        bounds = None
        if placed.any():
            west, east = float(lon[placed].min()), float(lon[placed].max())
            bounds = [west, float(lat[placed].min()), east, float(lat[placed].max())]
        limits = UploadLimits(
            max_mb=self.config.max_upload_mb,
            max_megapixels=self.config.max_upload_megapixels,
            hours=self.config.job_hours,
        )
        detector = self._work.detector
        return ArchiveFacts(
            name=self.archive.archive.folder.resolve().name,
            windows=len(lon),
            without_place=int((~placed).sum()),
            sources=[SourceFacts(name=part.path.name, windows=len(part.vectors)) for part in parts],
            sensors=sorted({str(one) for one in columns["sensor"] if one}),
            bands=sorted({str(one) for one in columns["band"] if one}),
            dates=[dates[0], dates[-1]] if dates else None,
            resolution_m=Known(low=float(shown[0]), high=float(shown[-1]))
            if len(shown)
            else Known(low=None, high=None),
            bounds=bounds,
            model=folder.name,
            model_windows_m=Known(low=min(taught), high=max(taught)) if taught else Known(low=None, high=None),
            detector=list(detector.detector.classes) if detector else [],
            tasks=self.jobs.tasks if self.jobs else [],
            upload=limits if self.jobs else None,
        )

    # ---- one window ----

    def picture(self, key: str) -> bytes:
        """A window as PNG, as the model saw it."""
        picture: bytes = self.archive.row(key)["picture"]
        return picture

    def caption(self, key: str) -> CaptionGiven:
        """A description of a window."""
        look = self.archive.look(key)
        text = self._batcher.answer("caption", look)
        notes = self._work.notes(look)
        if text.cut:
            notes.append("The description met the limit of its length.")
        return CaptionGiven(caption=text.text, token_probability=token_probability_of(text), notes=notes)

    def ask(self, key: str, question: str) -> AnswerGiven:
        """The answer to a question.

        Raises:
            Refused: the model cannot read the question.
        """
        look, resolution = self.archive.look(key), self.archive.row(key)["resolution_m"]
        asker, notes = self._asker(question)
        known = resolution if resolution == resolution else None
        reply = self._batcher.answer("ask", AskedOf(look, asker, known))
        return AnswerGiven(**said(reply), notes=notes + self._work.notes(look))

    def _asker(self, question: str) -> tuple[Asker, list[str]]:
        """A question put to the model, and notes on it; those of late are kept.

        Raises:
            Refused: the model cannot read it.
        """
        question = question.strip()
        with self._asking:
            if question in self._askers:
                self._askers.move_to_end(question)
                return self._askers[question]
        notes = self._check(question)
        asker, more = asker_of(self._work.model, self._folder, question, True, GenerationConfig(ANSWER_TOKENS))
        with self._asking:
            self._askers[question] = asker, notes + more
            while len(self._askers) > _KEPT_QUESTIONS:
                self._askers.popitem(last=False)
        return asker, notes + more

    def _check(self, question: str) -> list[str]:
        """Notes on a question that can be asked."""
        model = self._work.model
        if not question.strip():
            raise Refused("The question is empty.")
        if model.config.text.decoder_reads == "image":
            raise Refused("This model only writes captions: it cannot be asked.")
        try:
            check_text(question, "The question")
            question_tokens(model, question.strip())
        except ValueError as error:
            raise Refused(str(error)) from None
        unknown = unknown_words(model, question)
        return [unknown] if unknown else []

    def evidence(self, key: str, asked: EvidenceAsked) -> bytes:
        """Where the evidence of words lies, as a PNG that is laid over the picture: the more evidence, the less of the
        picture is seen through it.

        Raises:
            Refused: the model cannot read question or words.
        """
        look = self.archive.look(key)
        asker, _ = self._asker(asked.question)
        try:
            check_text(asked.answer, "The answer")
            heat = self._batcher.answer("evidence", WordsOf(look, asker.words, asked.answer.strip(), asked.by))
        except ValueError as error:
            raise Refused(str(error)) from None
        return _heat_png(heat)

    def detections(self, key: str) -> DetectionsFound:
        """Objects in a window's picture.

        Raises:
            Refused: no detector, or pixels of a size that it does not know.
        """
        part, row = self.archive.place(key)
        held = self.archive.rows([(part, row)])[0]
        look = self.archive.look(key)
        if self._work.detector is None:
            raise Refused("This server was started without a detector.", 404)
        try:
            table = self._batcher.answer("detect", look)
        except ValueError as error:
            raise Refused(str(error)) from None
        corners = corners_of(self.archive.shape(held))
        height, width = look.image.pixels.shape
        features = [_feature(one, width, height, corners) for one in table.to_dict("records")]
        taught, scores = self._work.detector.taught, self._work.detector.scores
        said = scores.said(self._work.detector.detector.classes, look.image.metres_per_pixel)
        unknown = taught is None or taught.metres_per_pixel is None
        notes = ["The detector does not say which pixel sizes it learned on."] if unknown else []
        return DetectionsFound(features=features, min_score=said, notes=notes)

    # ---- uploads ----

    def begin(self, name: str, task: Task, question: str, declared: int | None) -> Job:
        """A place for an upload of so many bytes, if that is said.

        Raises:
            Refused: uploads are not taken, this task is none, it is too large, or there is no room.
        """
        jobs, most = self.jobs, int(self.config.max_upload_mb * 1e6)
        if jobs is None:
            raise Refused("This server takes no uploads.", 404)
        if task not in jobs.tasks:
            raise Refused(f"This server cannot {task}: it was started without a model for that.", 404)
        if task == "ask":
            self._check(question)
        elif question.strip():
            raise Refused("A question belongs to the task ask.")
        if declared == 0:
            raise Refused("The file is empty.")
        if declared is not None and declared > most:
            raise Refused(
                f"The file has {declared / 1e6:,.1f} MB: at most {self.config.max_upload_mb:g} are taken.", 413
            )
        return jobs.begin(plain_name(name), task, question.strip(), most if declared is None else declared)

    async def receive(self, job: Job, stream: AsyncIterator[bytes]) -> Path:
        """The file of an upload, under a name of ours.

        Raises:
            Refused: it is empty, too large, another kind of file, or does not come.
        """
        path, most, size = job.folder / "upload.part", int(self.config.max_upload_mb * 1e6), 0
        head, ends = b"", time.monotonic() + _UPLOAD_S
        parts = aiter(stream)
        with path.open("wb") as file:
            while True:
                try:
                    async with asyncio.timeout(_IDLE_S):
                        part = await anext(parts)
                except StopAsyncIteration:
                    break
                except TimeoutError:
                    raise Refused("The file did not come in time.", 408) from None
                if time.monotonic() > ends:
                    raise Refused(f"The file did not come within {_UPLOAD_S // 60} minutes.", 408)
                size += len(part)
                if size > most:
                    raise Refused(f"The file is larger than the {self.config.max_upload_mb:g} MB that are taken.", 413)
                # A wrong file is refused by its first bytes, not after all of it has come.
                if len(head) < _HEAD:
                    head += part[: _HEAD - len(head)]
                    if len(head) >= _HEAD:
                        ending_of(head)
                await asyncio.to_thread(file.write, part)
        return path.rename(job.folder / f"upload{ending_of(head)}")

    def start(self, job: Job, path: Path) -> JobState:
        """WindowLook at what came, and let it wait for its turn.

        Raises:
            Refused: it cannot be read, or is too large.
        """
        assert self.jobs is not None
        if path.suffix == ".zip":
            check_zip(path, _UNPACKED * int(self.config.max_upload_mb * 1e6))
        self.jobs.start(job, path, understood(path, self.config.max_upload_megapixels * 1e6, job.name))
        return self.jobs.state(job.id)

    def kept(self) -> Jobs:
        """The uploads.

        Raises:
            Refused: none are taken.
        """
        if self.jobs is None:
            raise Refused("This server takes no uploads.", 404)
        return self.jobs


def _heat_png(heat: np.ndarray) -> bytes:
    seen = np.sqrt(np.clip(heat, 0, 1))  # weak evidence is seen too
    colour = matplotlib.colormaps["inferno"](0.25 + 0.75 * seen)
    colour[..., 3] = 0.9 * np.clip((seen - 0.12) / 0.88, 0, 1)
    picture = Image.fromarray((colour * 255).round().astype(np.uint8), "RGBA")
    picture = picture.resize((_LEAST_SIDE, _LEAST_SIDE), Image.Resampling.BILINEAR)
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def _feature(one: dict[Any, Any], width: int, height: int, corners: list[tuple[float, float]] | None) -> dict[str, Any]:
    """A box as GeoJSON."""
    left, top, right, bottom = (float(one[name]) for name in CORNERS)
    flat = list(one["corners"]) or [left, top, right, top, right, bottom, left, bottom]
    points = np.asarray(flat, float).reshape(-1, 2) / (width, height)
    geometry = None
    if corners is not None:
        u, v = points.T
        at = [(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v]
        places = sum(share[:, None] * np.asarray(corner) for share, corner in zip(at, corners))
        ring = [[round(float(x), 7), round(float(y), 7)] for x, y in np.asarray(places)[::-1]]
        geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    score = float(one["score"])
    return {
        "type": "Feature",
        "geometry": geometry,
        "properties": {
            "category": str(one["category"]),
            "score": round(score, 4) if math.isfinite(score) else None,
            "pixels": [[round(float(x), 5), round(float(y), 5)] for x, y in points],
        },
    }
