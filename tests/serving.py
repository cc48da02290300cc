"""An application on this machine, for a browser to open."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any


@contextmanager
def at_address(app: Any, query: str = "") -> Iterator[str]:
    """The address at which an ASGI application answers while this lasts.

    Args:
        app: of Starlette or FastAPI; uvicorn must be installed.
        query: what stands behind the address.
    """
    uvicorn = import_module("uvicorn")
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/{query}"
    finally:
        server.should_exit = True
        thread.join(10)
