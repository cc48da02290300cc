"""Requests from a process that was forked after the first one."""

import os
import time

from knowlip.annotators.openai.http import Http
from tests.annotators.openai_stub import Stub, completion


def test_requests_go_on_in_a_forked_process() -> None:
    with Stub(lambda body, number: completion("x")) as server:
        url = server.url.rstrip("/") + "/"
        assert Http(url, {}, 5.0).send("GET", "models").status == 200
        child = os.fork()
        if not child:
            code = 1
            try:
                code = int(Http(url, {}, 5.0).send("GET", "models").status != 200)
            finally:
                os._exit(code)
        end, found = time.monotonic() + 30, 0
        while not found and time.monotonic() < end:
            found, status = os.waitpid(child, os.WNOHANG)
            time.sleep(0.02)
        if not found:
            os.kill(child, 9)
            os.waitpid(child, 0)
        assert found == child
        assert os.waitstatus_to_exitcode(status) == 0
