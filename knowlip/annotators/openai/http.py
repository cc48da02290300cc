"""HTTP that ends: a request has a deadline for its last byte and a limit of its size, and goes nowhere else."""

import asyncio
import json
import os
import threading
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple

import httpx

REPLY_BYTES = 32 * 2**20
"""Largest reply that is read; an answer of 1,500 tokens has about 8,000."""
FILE_BYTES = 2**30
"""Largest result file of a batch that is read."""
PACE = 100_000
"""Bytes a second: a reply or an upload may take as much longer than the deadline as it needs at this pace."""


class Reply(NamedTuple):
    """What an endpoint has sent."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class NoReply(Exception):
    """There is no reply, or not the whole of it; the message says why.

    Attributes:
        reached: whether the endpoint got the request, and so may charge for it.
        again: whether another attempt may help.
    """

    def __init__(self, reason: str, reached: bool = True, again: bool = True) -> None:
        super().__init__(reason)
        self.reached, self.again = reached, again


class Http:
    """Sends requests to one address. Safe from threads.

    All of them are awaited in one thread of their own, for only there can a request be ended at any moment: while a
    name is looked up, a connection is made, or headers come in byte by byte. Proxies and certificates are those of the
    environment (HTTPS_PROXY, SSL_CERT_FILE).

    Args:
        base_url: what every path is put behind; ends in /.
        headers: of every request.
        timeout_s: from the beginning of a request to the last byte of its reply.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], timeout_s: float) -> None:
        self._base_url, self._timeout_s = base_url, timeout_s
        self._client = httpx.AsyncClient(
            headers={**headers, "accept-encoding": "gzip"},
            timeout=httpx.Timeout(None, connect=min(30.0, timeout_s)),
            limits=httpx.Limits(max_connections=1000, max_keepalive_connections=100),
            follow_redirects=False,
        )

    def send(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        file: tuple[str, bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        limit: int = REPLY_BYTES,
    ) -> Reply:
        """One request, and its reply of any status.

        Args:
            method: "GET" or "POST".
            path: behind the base address.
            body: JSON.
            file: name and content of a file to upload as part of a form, in place of `body`.
            headers: more of them.
            limit: bytes of the reply, unpacked.

        Raises:
            NoReply: the endpoint cannot be reached, broke off, took too long or sent too much.
        """
        given: dict[str, Any] = {"content": body, "headers": {"content-type": "application/json"}} if body else {}
        if file is not None:
            given = {"files": {"file": file}, "data": {"purpose": "batch"}}
        request = self._client.build_request(method, self._base_url + path, **given)
        request.headers.update(headers or {})
        size = len(file[1]) if file else len(body)
        waiting = asyncio.run_coroutine_threadsafe(self._fetch(request, size, limit), _loop())
        try:
            return waiting.result()
        except BaseException:
            waiting.cancel()
            raise

    async def _fetch(self, request: httpx.Request, size: int, limit: int) -> Reply:
        status, headers, content, arrived = 0, httpx.Headers(), bytearray(), 0
        ends = asyncio.get_running_loop().time() + self._timeout_s + size / PACE
        try:
            async with asyncio.timeout_at(ends) as deadline:
                response = await self._client.send(request, stream=True)
                try:
                    status, headers = response.status_code, response.headers
                    unpack = _unpacker(headers.get("content-encoding", ""))
                    async for chunk in response.aiter_raw():
                        arrived += len(chunk)
                        content += unpack(chunk, limit + 1 - len(content))
                        if len(content) > limit:
                            raise NoReply(f"the reply is larger than {limit // 2**20} MB", again=False)
                        deadline.reschedule(ends + arrived / PACE)
                finally:
                    await response.aclose()
        except TimeoutError:
            problem = NoReply(f"no answer within {self._timeout_s:g} s")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise NoReply(f"connection failed ({error or 'timed out'})", reached=False) from None
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            problem = NoReply(f"connection failed ({error or type(error).__name__})")
        except zlib.error as error:
            problem = NoReply(f"the reply cannot be unpacked ({error})")
        else:
            return Reply(status, headers, bytes(content))
        # A wrong length, or a connection that is not closed in time: where all of the answer is here it is not lost.
        if status == 200 and _is_whole(content):
            return Reply(status, headers, bytes(content))
        raise problem from None


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The thread in which requests are awaited."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="knowlip-http", daemon=True).start()
    return loop


# Threads do not come along into a forked process: one that has a loop without its thread would wait for ever.
os.register_at_fork(after_in_child=_loop.cache_clear)


def _unpacker(encoding: str) -> Callable[[bytes, int], bytes]:
    """Unpacks chunk by chunk, no more than so many bytes: a few kilobytes can hold gigabytes."""
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return lambda chunk, most: chunk
    stream = zlib.decompressobj(zlib.MAX_WBITS | 32)  # tells gzip and zlib apart
    return lambda chunk, most: stream.decompress(chunk, max(1, most))


def _is_whole(content: bytearray) -> bool:
    """Whether it is a JSON object to its last bracket."""
    if not content.rstrip().endswith(b"}"):
        return False
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False
