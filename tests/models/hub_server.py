"""A Hugging Face hub of one process: repositories in memory, the few addresses that publishing and fetching ask for."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c" * 40


class Hub:
    def __init__(self) -> None:
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.token: str | None = None
        """Publishing needs it when it is set."""
        self.address = ""


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
                return self.answer(401, {"error": "Invalid credentials"})
            if self.path == "/api/repos/create":
                asked = json.loads(body)
                name = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
                hub.repos.setdefault(name, {})
                hub.private.setdefault(name, asked.get("visibility") == "private" or bool(asked.get("private")))
                return self.answer(200, {"url": f"{hub.address}/{name}", "name": name})
            if self.path == "/api/validate-yaml":
                return self.answer(200, {"errors": [], "warnings": []})
            repo = "/".join(self.path.split("/")[3:5])
            if "/preupload/" in self.path:
                files = [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for file in json.loads(body)["files"]
                ]
                return self.answer(200, {"files": files})
            if "/commit/" in self.path:
                for line in body.splitlines():
                    entry = json.loads(line)
                    if entry["key"] == "file":
                        hub.repos[repo][entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                url = f"{hub.address}/{repo}/commit/{COMMIT}"
                return self.answer(200, {"commitUrl": url, "commitOid": COMMIT, "success": True})
            return self.answer(404, {})

        def do_GET(self) -> None:
            parts = self.path.split("?")[0].strip("/").split("/")
            repo = "/".join(parts[2:4] if parts[0] == "api" else parts[:2])
            if repo not in hub.repos:
                return self.answer(404, {}, {"X-Error-Code": "RepoNotFound"})
            files = hub.repos[repo]
            if parts[0] == "api" and "tree" in parts:
                return self.answer(
                    200,
                    [{"type": "file", "path": name, "size": len(d), "oid": "0" * 40} for name, d in files.items()],
                )
            if parts[0] == "api":
                if parts[-1] not in ("main", COMMIT, repo.split("/")[1]):
                    return self.answer(404, {}, {"X-Error-Code": "RevisionNotFound"})
                siblings = [{"rfilename": name} for name in files]
                return self.answer(200, {"id": repo, "sha": COMMIT, "siblings": siblings})
            name = "/".join(parts[4:])
            if name not in files:
                return self.answer(404, {}, {"X-Error-Code": "EntryNotFound"})
            data = files[name]
            return self.answer(200, data, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT})

        do_HEAD = do_GET

        def answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
            data = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            for name, text in {"Content-Length": str(len(data)), **(headers or {})}.items():
                self.send_header(name, text)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def hub_server() -> Iterator[Hub]:
    """Serve an empty hub at `hub.address`."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
