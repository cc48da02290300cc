"""The Batch API: a wave as JSONL files that the endpoint works through within a day, at a lower price.

A wave goes in rounds: first every tile's question, then the repair turns, and what failed in passing, until nothing is
left to ask. All state lies in the answers on disk and in the ledger, so that a killed process finds its batches again:
a batch is entered before its file is uploaded, and carries its name as metadata, by which it is found at the endpoint
where the process died between submitting and noting so.
"""

import io
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from knowlip.annotators.chunks import Outcome, Outcomes
from knowlip.annotators.openai.annotator import ChatRequest, OpenAIAnnotator
from knowlip.annotators.openai.endpoint import CostLimit, EndpointError, StatusError, TileFailed
from knowlip.annotators.openai.http import FILE_BYTES
from knowlip.annotators.openai.reply import objects, read_object, words
from knowlip.annotators.workers import Waiting, requests
from knowlip.base.progress import say
from knowlip.dataset import Dataset

T = TypeVar("T")
POLL_MOST_S = 300.0
ENDS_S = 48 * 3600.0
"""An endpoint ends a batch within a day; one that has not after two is given up for now."""
_PAGES = 100
"""Pages of an endpoint's list of batches that are looked through, of 100 batches each."""
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

    def run(self, wave: Sequence[Waiting]) -> Iterator[tuple[Waiting, Outcomes]]:
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
        for piece in wave:
            asked = requests(self._dataset, piece.chunk())
            yield piece, {request.tile_id: self._outcome(request) for request in asked}

    def _outcome(self, request: Any) -> Outcome:
        try:
            return self._annotator.annotate_stored(request)
        except TileFailed as error:
            return str(error)

    # ---- there ------------------------------------------------------------------------------------------------------

    def _submit_wave(self, wave: Sequence[Waiting]) -> list[dict[str, Any]]:
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

    def _open_questions(self, wave: Sequence[Waiting]) -> Iterator[ChatRequest]:
        for piece in wave:
            for request in requests(self._dataset, piece.chunk()):
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
                lambda: self._endpoint.ask_object("POST", "files", file=(f"{part.name}.jsonl", data))
            )
        except (EndpointError, TileFailed) as error:
            self._ledger.batch(part.name, state="failed", reason="not uploaded")
            raise EndpointError(f"A batch file could not be uploaded: {error}") from None
        file_id = words(uploaded.get("id"))
        if not file_id:
            self._ledger.batch(part.name, state="failed", reason="not uploaded")
            raise EndpointError(f"{self._endpoint.base_url} takes no batches: it gave no name for the uploaded file.")
        # From here on the batch may be submitted: its requests are in flight, whatever happens to this process.
        self._ledger.batch(part.name, state="uploaded", file_id=file_id)
        self._ledger.sent_all(part.rows, part.name)
        batch_id = self._create(part.name, file_id)
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
            body = {
                "input_file_id": file_id,
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
                "metadata": {"knowlip": name},
            }
            headers = {"Idempotency-Key": name}
            made = _known(lambda: self._endpoint.ask_object("POST", "batches", body, headers=headers))
            # One without a name may have been made all the same: it is looked for, and found or submitted again.
            return None if made is None else words(made.get("id")) or self._find(name) or self._nameless()

        try:
            return self._endpoint.call(create)
        except TileFailed as error:  # here it is the batch that failed
            raise EndpointError(f"{self._endpoint.base_url} takes no batches ({error}).") from None

    def _find(self, name: str) -> str | None:
        """The endpoint's name of a batch of ours, where it has it."""
        after = ""
        for _ in range(_PAGES):
            page = self._endpoint.ask_object("GET", f"batches?limit=100{f'&after={quote(after)}' if after else ''}")
            listed = page.get("data")
            batches = [objects(batch) for batch in listed] if isinstance(listed, list) else []
            for batch in batches:
                if objects(batch.get("metadata")).get("knowlip") == name and words(batch.get("id")):
                    return words(batch.get("id"))
            last = words(batches[-1].get("id")) if batches else ""
            if page.get("has_more") is not True or last in ("", after):
                break
            after = last
        return None

    def _nameless(self) -> str:
        raise EndpointError(f"{self._endpoint.base_url} has taken a batch without telling its name.")

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
        for file_id in (words(ended.get("output_file_id")), words(ended.get("error_file_id"))):
            lines = self._lines(file_id) if file_id else iter(())
            if lines is None:
                self._gone(name, list(open_rows.values()), _FILE_GONE)
                return
            for line in lines:
                row = open_rows.get(words(line.get("custom_id")))
                if row is not None:
                    self._keep(row, line)
                    del open_rows[row["key"]]
        problem = self._endpoint.clean(_problem(ended))
        refused, cancelled = ended["status"] == "failed", ended["status"] == "cancelled"
        worn = max((int(row["attempts"]) for row in open_rows.values()), default=0)
        for row in open_rows.values():
            # What a batch has not begun is not charged for; a line that is missing from a finished one may have been.
            in_doubt = ended["status"] == "completed"
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

    def _poll(self, name: str, batch_id: str) -> dict[str, Any] | None:
        """The batch when it has ended; None where the endpoint does not know it.

        Raises:
            EndpointError: it does not end.
        """
        wait, told, began = self._options.poll_s, "", time.monotonic()
        path = f"batches/{quote(batch_id, safe='')}"
        while True:
            found = self._patiently(lambda: _known(lambda: self._endpoint.ask_object("GET", path)))
            status = found.get("status") if found is not None else None
            if found is None or status in _ENDED:
                return found
            counts = objects(found.get("request_counts"))
            done, total = words(counts.get("completed")), words(counts.get("total"))
            news = self._endpoint.clean(f"{words(status)}, {done} of {total} done" if counts else words(status))
            if news != told:
                say(f"  batch {name}: {news}")
                told = news
            if time.monotonic() - began > ENDS_S:
                raise EndpointError(
                    f"The batch {name} has not ended in {ENDS_S / 3600:.0f} hours; the same command looks again."
                )
            time.sleep(wait)
            wait = min(POLL_MOST_S, wait * 1.5)

    def _lines(self, file_id: str) -> Iterator[dict[str, Any]] | None:
        """Lines of a result file; what is no JSON is left out, and its request counts as unanswered. None: no file."""
        path = f"files/{quote(file_id, safe='')}/content"
        content = self._patiently(lambda: _known(lambda: self._endpoint.ask("GET", path, limit=FILE_BYTES)))
        return None if content is None else _objects(content)

    def _keep(self, row: dict[str, Any], line: dict[str, Any]) -> None:
        """Keep one result: an answer, or the reason why there is none."""
        response, error = objects(line.get("response")), objects(line.get("error"))
        status = response.get("status_code")
        status = status if isinstance(status, int) else 0
        if status == 200 and not error:
            answer = self._annotator.store(row["key"], json.dumps(response.get("body")).encode())
            if answer is None:
                self._lost(row, "the result holds no JSON", in_doubt=True)
                return
            question = ChatRequest(row["key"], {}, row["tile_id"], row["turn"], 0)
            reserved = float(row["reserved"])
            cost = self._annotator.keep(question, answer, time.time() - row["updated"], reserved)
            self._annotator.budget.settle(reserved, cost)
            return
        said = objects(objects(response.get("body")).get("error")).get("message") or error.get("message")
        told = words(said) or words(error.get("code")) or "no reason given"
        reason = self._endpoint.clean(f"HTTP {status}: {told}" if status else told)
        self._lost(row, reason, in_doubt=False, final=True if status >= 400 and status not in _PASSING else None)

    def _lost(self, row: dict[str, Any], reason: str, in_doubt: bool, final: bool | None = None) -> None:
        """Note that a request brought no answer; `final` None gives it up when its retries are used up."""
        if final is None:
            final = int(row["attempts"]) > self._options.retries
            reason = f"{reason}, after {self._options.retries} retries" if final else reason
        self._ledger.failed(row["key"], reason, in_doubt, final)
        reserved = float(row["reserved"])
        self._annotator.budget.settle(reserved, reserved if in_doubt else 0.0)

    def _patiently(self, ask: Callable[[], T]) -> T:
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


def _known(ask: Callable[[], T]) -> T | None:
    """What is asked for; None where there is no such thing (404)."""
    try:
        return ask()
    except StatusError as error:
        if error.status == 404:
            return None
        raise


def _objects(content: bytes) -> Iterator[dict[str, Any]]:
    """The JSON objects of a file that has one a line."""
    for line in io.BytesIO(content):
        try:
            yield read_object(line)
        except json.JSONDecodeError:
            continue


def _problem(ended: dict[str, Any]) -> str:
    """Why a batch has no result for some of its requests."""
    listed = objects(ended.get("errors")).get("data")
    errors = listed[:3] if isinstance(listed, list) else []
    said = "; ".join(words(objects(error).get("message")) for error in errors)
    if said:
        return f"batch {ended['status']}: {said}"
    return "no result in the batch" if ended["status"] == "completed" else f"batch {ended['status']}"
