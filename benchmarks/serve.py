"""How `knowlip serve` answers fifty requests at once, beside one after the other.

    python -m benchmarks.serve [--archive ARCHIVE] [--work DIR]

A server of its own process at 127.0.0.1 with the model of the package, and a client with fifty connections: fifty
questions about fifty windows, then fifty searches with re-ranking. Without an archive, one of simulated scenes of six
cities is made. The windows' image tokens are not known to the server when the requests come. single_ms is the median of
as many requests of their own, of other windows or words, each sent when the one before is answered.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from knowlip.base.documents import read_json
from knowlip.base.files import write_json
from knowlip.base.provenance import commit, machine
from knowlip.inference.archive.adding import IndexConfig, index
from knowlip.models.default import shipped_model
from knowlip.simulator import SimulateConfig, simulate

RESULT: Final = Path(__file__).parent / "results" / "use.json"
AT_ONCE: Final = 50
_PORT: Final = 8791
_QUESTION: Final = "How many ships are visible?"
_WORDS: Final = (
    "ships",
    "aircraft",
    "buildings",
    "water",
    "fields",
    "a bridge",
    "roads",
    "a quay",
    "trees",
    "containers",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path)
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        archive = options.archive or _made(Path(folder))
        line = [sys.executable, "-m", "knowlip.cli", "serve", str(archive), "--port", str(_PORT), "--uploads", "false"]
        server = subprocess.Popen([*line, "--device", "cpu"], stderr=subprocess.DEVNULL)
        try:
            found = asyncio.run(_measured(f"http://127.0.0.1:{_PORT}"))
        finally:
            server.terminate()
            server.wait(30)
    found |= {"machine": machine(), "date": datetime.now(UTC).date().isoformat(), "commit": commit()}
    print(found)
    known = read_json(RESULT) if RESULT.is_file() else {}
    write_json(RESULT, {**known, "serve": found})  # type: ignore[dict-item]


def _made(folder: Path) -> Path:
    simulate(SimulateConfig(out=folder / "scenes", cities=6, workers=1))
    index(IndexConfig(scenes=[folder / "scenes"], out=folder / "archive", model=shipped_model(), device="cpu"))
    return folder / "archive"


async def _measured(url: str) -> dict[str, Any]:
    """Questions, and searches as a part of their own."""
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=300) as client:
        await _ready(client)
        points = (await client.get("/api/points")).json()["points"]
        keys = [one["key"] for one in points][:: max(1, len(points) // (2 * AT_ONCE))][: 2 * AT_ONCE]
        questions = [("POST", f"/api/tiles/{key}/ask", {"question": _QUESTION}) for key in keys]
        some = [f"{number} {word}" for number in range(2, 12) for word in _WORDS]
        searches = [("POST", "/api/search", {"text": words, "top": 10}) for words in some]
        asked = await _compared(client, questions[:AT_ONCE], questions[AT_ONCE:])
        return asked | {
            "windows": len(points),
            "search": await _compared(client, searches[:AT_ONCE], searches[AT_ONCE:]),
        }


async def _ready(client: httpx.AsyncClient) -> None:
    ends = time.monotonic() + 180
    while True:
        try:
            (await client.get("/api/archive")).raise_for_status()
            # The first question and the first search load what is loaded once.
            hit = (await client.post("/api/search", json={"text": "anything", "top": 1})).json()["hits"][0]
            await client.post(f"/api/tiles/{hit['key']}/ask", json={"question": _QUESTION})
            return
        except httpx.ConnectError:
            if time.monotonic() > ends:
                raise
            await asyncio.sleep(0.5)


async def _compared(client: httpx.AsyncClient, together: list[Any], alone: list[Any]) -> dict[str, Any]:
    async def one(request: Any) -> tuple[bool, float]:
        started = time.perf_counter()
        try:
            reply = await client.request(request[0], request[1], json=request[2])
            answered = reply.status_code == 200
        except httpx.HTTPError:
            answered = False
        return answered, 1000 * (time.perf_counter() - started)

    single = [await one(request) for request in alone]
    started = time.perf_counter()
    many = await asyncio.gather(*(one(request) for request in together))
    seconds = time.perf_counter() - started
    times = [taken for _, taken in many]
    return {
        "requests": len(many),
        "lost": sum(not answered for answered, _ in [*many, *single]),
        "p50_ms": round(float(np.percentile(times, 50)), 1),
        "p95_ms": round(float(np.percentile(times, 95)), 1),
        "single_ms": round(float(np.median([taken for _, taken in single])), 1),
        "single_p95_ms": round(float(np.percentile([taken for _, taken in single], 95)), 1),
        "per_second_together": round(len(many) / seconds, 2),
        "per_second_alone": round(1000 * len(single) / sum(taken for _, taken in single), 2),
    }


if __name__ == "__main__":
    main()
