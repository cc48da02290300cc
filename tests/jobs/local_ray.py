"""A Ray cluster of this machine for one test."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def local_ray(cores: int) -> Iterator[None]:
    """Connected, with workers that import the tests; skips where Ray is not installed."""
    ray = pytest.importorskip("ray", reason="ray is not installed (pip install 'knowlip[cluster]')")
    ray.init(
        num_cpus=cores, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parents[2])}},
    )  # fmt: skip
    try:
        yield
    finally:
        ray.shutdown()
