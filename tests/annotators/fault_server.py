"""An HTTP server that speaks chat completions, files and batches of OpenAI's, with faults, and counts what it charges.

A fault is chosen by the tile that is asked about (its longitude in the prompt) and by how often it was asked, so that
runs are reproducible however threads interleave.
"""

import json
import re
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.annotators.local_server import LocalServer, send
from tests.annotators.openai_stub import answer, completion, failure

KEY = "sk-secret-of-the-faults"


def place_of(body: dict[str, Any]) -> str:
    """The coordinates that a request asks about."""
    found = re.search(r"lat\]: \[([-\d.]+), ([-\d.]+)\]", body["messages"][1]["content"][0]["text"])
    assert found
    return f"{found[1]}/{found[2]}"


class FaultServer(LocalServer):
    """Use with `with`.

    Args:
        fault: (place, how often this body was asked before, body) -> name of a fault, "" for none.
        batch_fault: (number of the batch from 0) -> "", "expired", "failed", "lost lines", "dropped create", "gone"
            (the batch is worked on, and then nobody knows it), "file gone" (its results cannot be had).
        polls: looks at a batch before it has ended.
        place: body -> what it asks about.
        content: place -> what a model answers.
    """

    def __init__(
        self,
        fault: Callable[[str, int, dict[str, Any]], str] = lambda place, times, body: "",
        batch_fault: Callable[[int], str] = lambda number: "",
        polls: int = 2,
        place: Callable[[dict[str, Any]], str] = place_of,
        content: Callable[[str], str] = lambda place: answer("terrain", Terrain=f"plain at {place}"),
    ) -> None:
        super().__init__()
        self.place, self.content = place, content
        self.fault, self.batch_fault, self.polls = fault, batch_fault, polls
        self.asked: Counter[str] = Counter()
        """Body -> how often it was asked."""
        self.charged: Counter[str] = Counter()
        """Body -> how often an answer was made and charged for."""
        self.received: Counter[str] = Counter()
        """Body -> how often a charged answer was sent in full."""
        self.places: dict[str, str] = {}
        """Body -> place."""
        self.faults: Counter[str] = Counter()
        self.batches: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.delay = 0.0
        self.lock = threading.RLock()
        self._replies: dict[str, dict[str, Any]] = {}

    # ---- one answer -------------------------------------------------------------------------------------------------

    def answer(self, body: dict[str, Any], idempotency: str = "") -> tuple[str, int, Any, dict[str, str]]:
        """(fault, status, reply, headers) of one request; charges for what a model would have worked on."""
        mark = json.dumps(body, sort_keys=True)
        place = self.place(body)
        with self.lock:
            times = self.asked[mark]
            self.asked[mark] += 1
            self.places[mark] = place
            fault = self.fault(place, times, body)
            self.faults[fault] += bool(fault)
            if fault == "429":
                return fault, *failure(429, "slow down", retry_after="0.02")
            if fault == "500":
                return fault, *failure(500, f"broken, key {KEY}")
            if fault == "400":
                return fault, *failure(400, "bad image")
            if fault == "early disconnect":
                return fault, 0, None, {}
            # From here on the model works. The same Idempotency-Key gets the same answer and is charged once.
            if idempotency and idempotency in self._replies:
                return fault, 200, self._replies[idempotency], {}
            self.charged[mark] += 1
        reply: Any = completion(self.content(place))[1]
        if fault == "truncated":
            reply = completion(self.content(place)[:200], "length")[1]
        elif fault == "schema":
            reply = completion(json.dumps({"instruction_set": "terrain", "sub_texts": {"Terrain": "flat"}}))[1]
        elif fault == "prose":
            reply = completion("I think that this is a harbour.")[1]
        elif fault == "refusal":
            reply = completion(None, refusal="I cannot help with that")[1]
        elif fault == "filter":
            reply = completion("", "content_filter")[1]
        if idempotency:
            with self.lock:
                self._replies[idempotency] = reply
        return fault, 200, reply, {}

    # ---- HTTP -------------------------------------------------------------------------------------------------------

    def post(self, handler: BaseHTTPRequestHandler) -> None:
        data = handler.rfile.read(int(handler.headers["content-length"]))
        if handler.headers["authorization"] != f"Bearer {KEY}":
            return self.send(handler, *failure(401, "wrong key"))
        if handler.path.endswith("/chat/completions"):
            body = json.loads(data)
            fault, status, reply, headers = self.answer(body, handler.headers.get("idempotency-key", ""))
            if self.delay:
                time.sleep(self.delay)
            if fault == "timeout":
                time.sleep(0.7)
            if fault in ("early disconnect", "disconnect"):
                handler.connection.shutdown(socket.SHUT_RDWR)
                return None
            if fault == "half a body":
                return self.send(handler, 200, reply, {}, cut=True)
            if fault == "html":
                return self.send(handler, 200, "<html>gateway</html>", {})
            self.send(handler, status, reply, headers)
            if status == 200 and fault != "timeout":
                self.received[json.dumps(body, sort_keys=True)] += 1
            return None
        if handler.path.endswith("/files"):
            start, end = data.find(b'{"custom_id"'), data.rfind(b"}\n")
            name = f"file-{uuid.uuid4().hex}"
            with self.lock:
                self.files[name] = data[start : end + 1]
            about = {"id": name, "object": "file", "bytes": end - start, "created_at": 0, "filename": "x"}
            return self.send(handler, 200, {**about, "purpose": "batch", "status": "processed"}, {})
        return self.create(handler, json.loads(data))

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.split("?")[0]
        if path.endswith("/models"):
            data = [{"id": "stub", "object": "model", "created": 0, "owned_by": "test"}]
            return self.send(handler, 200, {"object": "list", "data": data}, {})
        if path.endswith("/content"):
            if path.split("/")[-2] not in self.files:
                return self.send(handler, *failure(404, "no such file"))
            return self.send(handler, 200, self.files[path.split("/")[-2]].decode(), {})
        if path.endswith("/batches"):
            with self.lock:
                known = [batch for batch in self.batches.values() if batch["fault"] != "gone"]
                data = [self.shown(batch) for batch in reversed(known)]
            return self.send(handler, 200, {"object": "list", "data": data, "has_more": False}, {})
        return self.retrieve(handler, path.split("/")[-1])

    def send(
        self, handler: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str], cut: bool = False
    ) -> None:
        send(handler, status, body, headers, 0.5 if cut else 1.0)
        if cut:
            handler.connection.shutdown(socket.SHUT_RDWR)

    # ---- batches ----------------------------------------------------------------------------------------------------

    def create(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        with self.lock:
            name = f"batch_{len(self.batches)}"
            fault = self.batch_fault(len(self.batches))
            self.batches[name] = {
                "id": name,
                "input": body["input_file_id"],
                "metadata": body.get("metadata"),
                "fault": fault,
                "looks": 0,
                "status": "validating",
            }
        if fault == "dropped create":  # made, but nobody hears of it
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send(handler, 200, self.shown(self.batches[name]), {})

    def shown(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": batch["id"],
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 0,
            "input_file_id": batch["input"],
            "status": batch["status"],
            "metadata": batch["metadata"],
            "output_file_id": batch.get("output"),
            "error_file_id": batch.get("error"),
            "errors": batch.get("errors"),
            "request_counts": {"total": 1, "completed": 0, "failed": 0},
        }

    def retrieve(self, handler: BaseHTTPRequestHandler, name: str) -> None:
        with self.lock:
            batch = self.batches[name]
            batch["looks"] += 1
            if batch["status"] in ("validating", "in_progress"):
                batch["status"] = "in_progress"
                if batch["looks"] > self.polls:
                    self.work(batch)
            if batch["fault"] == "file gone":
                self.files.pop(batch.get("output", ""), None)
        if batch["fault"] == "gone" and batch["status"] == "completed":
            return self.send(handler, *failure(404, f"No batch found with id '{name}'"))
        self.send(handler, 200, self.shown(batch), {})

    def work(self, batch: dict[str, Any]) -> None:
        """Answer a batch: successes in the output file, the rest in the error file, both in reverse order."""
        if batch["fault"] == "failed":
            batch["status"] = "failed"
            batch["errors"] = {"object": "list", "data": [{"code": "token_limit_exceeded", "message": "queue is full"}]}
            return
        good: list[str] = []
        bad: list[str] = []
        lines = self.files[batch["input"]].decode().splitlines()
        for number, line in enumerate(lines):
            row = json.loads(line)
            if batch["fault"] == "expired" and number >= len(lines) // 2:
                error = {"code": "batch_expired", "message": "not finished in time"}
                bad.append(
                    json.dumps({"id": str(number), "custom_id": row["custom_id"], "response": None, "error": error})
                )
                continue
            _, status, reply, _ = self.answer(row["body"])
            if batch["fault"] == "lost lines" and number % 2:
                good.append('{"custom_id": "' + row["custom_id"])  # a line that was cut
                good.append('{"custom_id": ["damaged"], "response": "none"}')
                continue
            response = {"status_code": status, "request_id": "r", "body": reply}
            out = {"id": str(number), "custom_id": row["custom_id"], "response": response, "error": None}
            (good if status == 200 else bad).append(json.dumps(out))
        for kind, found in (("output", good), ("error", bad)):
            if found:
                batch[kind] = f"file-{kind}-{batch['id']}"
                self.files[batch[kind]] = "\n".join(reversed(found)).encode()
        batch["status"] = "expired" if batch["fault"] == "expired" else "completed"
