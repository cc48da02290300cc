"""The Batch API: a wave as JSONL files that the endpoint works through within a day, at a lower price.

A wave goes in rounds: first every tile's question, then the repair turns, and what failed in passing, until nothing is
left to ask. All state lies in the answers on disk and in the ledger, so that a killed process finds its batches again:
a batch is entered before its file is uploaded, and carries its name as metadata, by which it is found at the endpoint
where the process died between submitting and noting so.
"""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from openai import NotFoundError

from knowlip.annotators.chunks import Outcome, Outcomes
from knowlip.annotators.openai.annotator import ChatRequest, OpenAIAnnotator
from knowlip.annotators.openai.endpoint import CostLimit, EndpointError, TileFailed, plain_answer
from knowlip.annotators.workers import Chunk, requests
from knowlip.base.progress import say
from knowlip.dataset import Dataset

POLL_MOST_S = 300.0
_ENDED = ("completed", "failed", "expired", "cancelled")
_PASSING = (408, 409, 429, 500, 502, 503, 504)
_GONE = "the endpoint no longer knows the batch"
_FILE_GONE = "the endpoint no longer has the results of the batch"


class BatchRequests:
    """Works through the chunks of a wave with batches.

    Args:
        dataset: the data set.
        annotator: leads the conversations and keeps the answers.
        folder: holds the files of batches on their way.
    """

    def __init__(self, dataset: Dataset, annotator: OpenAIAnnotator, folder: Path) -> None:
        self._dataset, self._annotator, self._folder = dataset, annotator, folder
        self._ledger, self._endpoint, self._options = annotator.ledger, annotator.endpoint, annotator.options
        self._client = annotator.endpoint.client

    def run(self, wave: Sequence[Chunk]) -> Iterator[tuple[Chunk, Outcomes]]:
        """Yield every chunk with the outcomes of its tiles, in order, as :mod:`knowlip.jobs.run` does.

        Raises:
            EndpointError: no batch can be worked through, or the next request could pass the cost limit.
        """
        if not wave:
            return
        for left in self._folder.glob("*.jsonl"):  # files of a killed process were uploaded, or are written again
            left.unlink()
        waiting = self._ledger.open_batches()
        while True:
            for batch in waiting:
                self._collect(batch)
            waiting = self._submit_wave(wave)
            if not waiting:
                break
        for chunk in wave:
            yield chunk, {request.tile_id: self._outcome(request) for request in requests(self._dataset, chunk)}

    def _outcome(self, request: Any) -> Outcome:
        try:
            return self._annotator.annotate_stored(request)
        except TileFailed as error:
            return str(error)

    # ---- there ------------------------------------------------------------------------------------------------------

    def _submit_wave(self, wave: Sequence[Chunk]) -> list[dict[str, Any]]:
        """Submit all that has to be asked now, in as many batches as it needs and the budget allows."""
        part = _Part(self._folder)
        seen: set[str] = set()
        stopped = ""
        try:
            for question in self._open_questions(wave):
                if question.key in seen:  # two equal tiles ask the same
                    continue
                line = json.dumps(
                    {"custom_id": question.key, "method": "POST", "url": "/v1/chat/completions", "body": question.body}
                ).encode()
                most = self._annotator.most(question)
                if not self._annotator.budget.try_reserve(most):
                    stopped = self._annotator.budget.sentence(most)
                    break
                seen.add(question.key)
                full = part.bytes + len(line) > self._options.batch_megabytes * 1_000_000
                if part.rows and (full or len(part.rows) >= self._options.batch_requests):
                    self._send(part)
                    part = _Part(self._folder)
                part.add(line, (question.key, question.tile_id, question.turn, most))
            if part.rows:
                self._send(part)
        finally:
            part.path.unlink(missing_ok=True)
        batches = self._ledger.open_batches()
        if stopped and not batches:
            raise CostLimit(stopped)
        return batches

    def _open_questions(self, wave: Sequence[Chunk]) -> Iterator[ChatRequest]:
        for chunk in wave:
            for request in requests(self._dataset, chunk):
                question = self._annotator.next_question(request)
                if question is not None:
                    yield question

    def _send(self, part: "_Part") -> None:
        """Enter a batch, upload its file, submit it."""
        part.close()
        self._ledger.new_batch(part.name, len(part.rows), self._endpoint.base_url)
        with part.path.open("rb") as stream:
            data = stream.read()
        try:
            uploaded = self._endpoint.call(
                lambda: self._client.files.create(file=(f"{part.name}.jsonl", data), purpose="batch")
            )
        except (EndpointError, TileFailed) as error:
            self._ledger.batch(part.name, state="failed", reason="not uploaded")
            raise EndpointError(f"A batch file could not be uploaded: {error}") from None
        # From here on the batch may be submitted: its requests are in flight, whatever happens to this process.
        self._ledger.batch(part.name, state="uploaded", file_id=uploaded.id)
        self._ledger.sent_all(part.rows, part.name)
        batch_id = self._create(part.name, uploaded.id)
        if batch_id is None:
            raise EndpointError(f"{self._endpoint.base_url} takes no batches (HTTP 404).")
        self._ledger.batch(part.name, batch_id=batch_id, state="submitted")
        say(f"  batch {part.name}: {len(part.rows)} requests submitted")

    def _create(self, name: str, file_id: str) -> str | None:
        """Submit a batch unless it was: a lost reply or a killed process must not submit it twice. None: no such file,
        or no batches there."""
        first = True

        def create() -> str | None:
            nonlocal first
            if not first and (known := self._find(name)):
                return known
            first = False
            made = _known(
                lambda: self._client.batches.create(
                    input_file_id=file_id,
                    endpoint="/v1/chat/completions",
                    completion_window="24h",
                    metadata={"knowlip": name},
                    extra_headers={"Idempotency-Key": name},
                )
            )
            return made.id if made else None

        try:
            return self._endpoint.call(create)
        except TileFailed as error:  # here it is the batch that failed
            raise EndpointError(f"{self._endpoint.base_url} takes no batches ({error}).") from None

    def _find(self, name: str) -> str | None:
        """The endpoint's name of a batch of ours, where it has it."""
        for batch in self._client.batches.list(limit=100):
            if (batch.metadata or {}).get("knowlip") == name:
                return batch.id
        return None

    # ---- and back ---------------------------------------------------------------------------------------------------

    def _collect(self, batch: dict[str, Any]) -> None:
        """Wait for a batch and keep its results, out of order as they are; what has none is asked again later."""
        name = batch["name"]
        if batch["state"] == "planned" or (batch["state"] == "uploaded" and not self._ledger.in_batch(name)):
            self._ledger.batch(name, state="failed", reason="stopped before it was submitted")
            return
        if batch["endpoint"] not in ("", self._endpoint.base_url):  # asking elsewhere would pay a second time
            raise EndpointError(
                f"A batch is under way at {batch['endpoint']} and will be paid there: go on with that --base_url."
            )
        batch_id = batch["batch_id"]
        if not batch_id:
            batch_id = self._patiently(lambda: self._find(name)) or self._create(name, batch["file_id"]) or ""
            self._ledger.batch(name, batch_id=batch_id, state="submitted")
        ended = self._poll(name, batch_id) if batch_id else None
        if ended is None and (known := self._patiently(lambda: self._find(name))) and known != batch_id:
            self._ledger.batch(name, batch_id=known)
            ended = self._poll(name, known)
        open_rows = {row["key"]: row for row in self._ledger.in_batch(name)}
        if ended is None:
            self._gone(name, list(open_rows.values()), _GONE)
            return
        for file_id in (ended.output_file_id, ended.error_file_id):
            lines = self._lines(file_id) if file_id else []
            if lines is None:
                self._gone(name, list(open_rows.values()), _FILE_GONE)
                return
            for line in lines:
                row = open_rows.get(str(line.get("custom_id", "")))
                if row is not None:
                    self._keep(row, line)
                    del open_rows[row["key"]]
        problem = self._endpoint.clean(_problem(ended))
        refused, cancelled = ended.status == "failed", ended.status == "cancelled"
        worn = max((int(row["attempts"]) for row in open_rows.values()), default=0)
        for row in open_rows.values():
            # What a batch has not begun is not charged for; a line that is missing from a finished one may have been.
            in_doubt = ended.status == "completed"
            self._lost(row, problem, in_doubt, final=None if not refused and not cancelled else False)
        self._ledger.batch(name, state="failed" if refused else "collected", reason=problem if open_rows else "")
        if cancelled or (refused and worn > self._options.retries):
            raise EndpointError(f"The {problem} ({batch_id}); the same command asks again for what is missing.")
        if refused:  # above all a limit of enqueued tokens, which empties with time
            time.sleep(min(POLL_MOST_S, self._options.poll_s * 2.0**worn))

    def _gone(self, name: str, rows: list[dict[str, Any]], reason: str) -> None:
        """Let the requests of a batch that cannot be had back be asked once more; it may have been charged for.

        Raises:
            EndpointError: some of them were lost in this way before.
        """
        again = any(row["reason"] in (_GONE, _FILE_GONE) for row in rows)
        for row in rows:
            self._lost(row, reason, in_doubt=True, final=False)
        self._ledger.batch(name, state="failed", reason=reason)
        say(f"  batch {name}: {reason}, {len(rows)} requests without an answer")
        if again:
            raise EndpointError(
                f"For the second time {reason} ({len(rows)} requests without an answer); what both may have cost "
                "stands in the ledger as doubt, and the same command asks again."
            )

    def _poll(self, name: str, batch_id: str) -> Any:
        """The batch when it has ended; None where the endpoint does not know it."""
        wait, told = self._options.poll_s, ""
        while True:
            found = self._patiently(lambda: _known(lambda: self._client.batches.retrieve(batch_id)))
            if found is None or found.status in _ENDED:
                return found
            counts = found.request_counts
            news = f"{found.status}, {counts.completed} of {counts.total} done" if counts else str(found.status)
            if news != told:
                say(f"  batch {name}: {news}")
                told = news
            time.sleep(wait)
            wait = min(POLL_MOST_S, wait * 1.5)

    def _lines(self, file_id: str) -> list[dict[str, Any]] | None:
        """Lines of a result file; what is no JSON is left out, and its request counts as unanswered. None: no file."""
        content = self._patiently(lambda: _known(lambda: self._client.files.content(file_id).read()))
        if content is None:
            return None
        lines = []
        for line in content.splitlines():
            try:
                value = json.loads(line)
            except (json.JSONDecodeError, UnicodeDecodeError):
                continue
            if isinstance(value, dict):
                lines.append(value)
        return lines

    def _keep(self, row: dict[str, Any], line: dict[str, Any]) -> None:
        """Keep one result: an answer, or the reason why there is none."""
        response, error = _object(line.get("response")), _object(line.get("error"))
        status, body = int(response.get("status_code") or 0), _object(response.get("body"))
        if status == 200 and not error:
            question = ChatRequest(row["key"], {}, row["tile_id"], row["turn"], 0)
            try:
                answer = plain_answer(body)
            except TileFailed as failure:
                self._lost(row, str(failure), in_doubt=True)
                return
            cost = self._annotator.keep(question, answer, time.time() - row["updated"])
            self._annotator.budget.settle(float(row["reserved"]), cost)
            return
        words = _object(body.get("error")).get("message") or error.get("message") or error.get("code")
        words = words or "no reason given"
        reason = self._endpoint.clean(f"HTTP {status}: {words}" if status else str(words))
        self._lost(row, reason, in_doubt=False, final=True if status >= 400 and status not in _PASSING else None)

    def _lost(self, row: dict[str, Any], reason: str, in_doubt: bool, final: bool | None = None) -> None:
        """Note that a request brought no answer; `final` None gives it up when its retries are used up."""
        if final is None:
            final = int(row["attempts"]) > self._options.retries
            reason = f"{reason}, after {self._options.retries} retries" if final else reason
        self._ledger.failed(row["key"], reason, in_doubt, final)
        reserved = float(row["reserved"])
        self._annotator.budget.settle(reserved, reserved if in_doubt else 0.0)

    def _patiently(self, ask: Any) -> Any:
        try:
            return self._endpoint.call(ask)
        except TileFailed as error:
            raise EndpointError(f"A batch cannot be followed ({error}); the same command goes on from here.") from None


class _Part:
    """A batch file being written."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = uuid.uuid4().hex
        self.path = folder / f"{self.name}.jsonl"
        self.rows: list[tuple[str, str, int, float]] = []
        self.bytes = 0
        self._stream = self.path.open("wb")

    def add(self, line: bytes, row: tuple[str, str, int, float]) -> None:
        self._stream.write(line + b"\n")
        self.bytes += len(line) + 1
        self.rows.append(row)

    def close(self) -> None:
        self._stream.close()


def _known(ask: Callable[[], Any]) -> Any:
    """What is asked for; None where there is no such thing (404)."""
    try:
        return ask()
    except NotFoundError:
        return None


def _object(value: Any) -> dict[str, Any]:
    """The value where it is a JSON object, else an empty one: a damaged line must not end the run."""
    return value if isinstance(value, dict) else {}


def _problem(ended: Any) -> str:
    """Why a batch has no result for some of its requests."""
    errors = getattr(ended, "errors", None)
    words = "; ".join(str(error.message) for error in (getattr(errors, "data", None) or [])[:3])
    if words:
        return f"batch {ended.status}: {words}"
    return "no result in the batch" if ended.status == "completed" else f"batch {ended.status}"
