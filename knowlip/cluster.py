"""A Ray cluster: how it is reached, which machines it has, and what ended a task."""

import socket
from typing import Any

ATTEMPTS = 3
"""How often a task is begun before it is given up; only lost machines and killed processes count."""
PATIENCE_S = 120.0
"""How long a machine may take to answer."""


def connect(address: str) -> tuple[Any, bool]:
    """The `ray` module, connected, and whether it was connected here: a connection of the caller is used and kept."""
    import logging

    try:
        import ray
    except ImportError:
        raise ValueError("Ray is not installed; run: pip install 'knowlip[cluster]'") from None
    ours = not ray.is_initialized()
    if ours:
        try:
            _reach(address)
            ray.init(address=address, namespace="knowlip", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError, OSError, TimeoutError) as error:
            reason = str(error).strip().partition("\n")[0].partition(". ")[0].rstrip(".") or type(error).__name__
            raise ValueError(
                f"There is no Ray cluster at {address!r} ({reason}); start one with: ray start --head"
            ) from error
    return ray, ours


def _reach(address: str) -> None:
    """Raise `OSError` where nothing listens at "host:port": Ray itself would try for minutes and end the process."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=10.0).close()


def machines_of(ray: Any) -> list[dict[str, Any]]:
    """Machines of the cluster that are alive and have cores for tasks."""
    return [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]


def cause_of(error: Any) -> Exception:
    """What ended a task: an error of the storage, or code that could not even be loaded there."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, OSError) and not isinstance(cause, ConnectionError):
        return cause
    return ValueError(f"A machine of the cluster cannot run the job ({str(cause or error).strip().splitlines()[-1]}).")
