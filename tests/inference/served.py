"""A tiny model behind our endpoint, over HTTP."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from knowlip.inference.serve import make_endpoint
from knowlip.inference.settings import ServeConfig
from knowlip.models import load_model


@contextmanager
def served(folder: Path, key: str = "") -> Iterator[str]:
    """The address of a model that is served while this lasts.

    Args:
        folder: the model.
        key: that clients must send.
    """
    app = make_endpoint(load_model(folder), ServeConfig(openai=True), key)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    ends = time.monotonic() + 20
    while not server.started and time.monotonic() < ends:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    server.should_exit = True
    thread.join()
