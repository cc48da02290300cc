"""Fifty at once: none is lost, each gets its own answer, and what is too many is told to come back."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.inference.web.sites import over_http

AT_ONCE = 50
QUESTIONS = ("How many ships are visible?", "Is there water?", "What kind of area is it?")


async def _all(url: str, requests: list[tuple[str, str, Any]]) -> list[httpx.Response]:
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120) as client:
        return await asyncio.gather(*(client.request(method, path, json=body) for method, path, body in requests))


def test_none_of_fifty_is_lost_and_each_gets_its_own(archive: Path) -> None:
    with over_http(archive, uploads=False) as url:
        keys = [hit["key"] for hit in httpx.post(url + "/api/search", json={}).json()["hits"]]
        requests: list[tuple[str, str, Any]] = []
        for number in range(AT_ONCE):
            key, question = keys[number % 4], QUESTIONS[number % 3]
            requests.append(
                [
                    ("POST", f"/api/tiles/{key}/ask", {"question": question}),
                    ("POST", "/api/search", {"text": question, "top": 1 + number % 4}),
                    ("GET", f"/api/tiles/{key}/picture", None),
                    ("POST", f"/api/tiles/{key}/ask", {"question": QUESTIONS[0]}),
                ][number % 4]
            )
        together = asyncio.run(_all(url, requests))
        assert [reply.status_code for reply in together] == [200] * AT_ONCE
        with httpx.Client(base_url=url, timeout=60) as client:
            for request, reply in list(zip(requests, together))[:12]:
                alone = client.request(request[0], request[1], json=request[2])
                if "ask" in request[1]:
                    assert reply.json()["answer"] == alone.json()["answer"]
                    assert reply.json()["probability"] == pytest.approx(alone.json()["probability"], abs=0.01)
                elif "search" in request[1]:
                    assert [hit["key"] for hit in reply.json()["hits"]] == [hit["key"] for hit in alone.json()["hits"]]
                else:
                    assert reply.content == alone.content


def test_too_many_are_told_to_come_back(archive: Path) -> None:
    with over_http(archive, uploads=False, max_waiting=3) as url:
        key = httpx.post(url + "/api/search", json={}).json()["hits"][0]["key"]
        requests: list[tuple[str, str, Any]] = [("GET", f"/api/tiles/{key}/caption", None)] * AT_ONCE
        replies = asyncio.run(_all(url, requests))
        counts = Counter(reply.status_code for reply in replies)
        assert set(counts) == {200, 503}
        assert sum(counts.values()) == AT_ONCE
        assert counts[200] >= 3
        for reply in replies:
            if reply.status_code == 503:
                assert reply.headers["retry-after"] == "2"
                assert "ask again" in reply.json()["error"]
        assert httpx.get(f"{url}/api/tiles/{key}/caption", timeout=60).status_code == 200
