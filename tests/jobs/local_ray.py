"""A Ray cluster of two nodes on this machine, the same one for all tests of a process."""

import atexit
import logging
from functools import cache
from pathlib import Path
from typing import Any

import pytest

SMALL = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
"""A node with a place for one task."""


@cache
def local_cluster() -> Any:
    """Connected, with workers that import the tests; skips where Ray is not installed."""
    ray = pytest.importorskip("ray", reason="ray is not installed (pip install 'knowlip[cluster]')")
    from ray.cluster_utils import Cluster

    # A node that is gone refuses every question, a busy one answers late: only the first is counted fast.
    quick = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_timeout_ms": 60_000}
    cluster = Cluster(initialize_head=True, head_node_args={**SMALL, "_system_config": quick})
    cluster.add_node(**SMALL)
    ray.init(
        address=cluster.address,
        namespace="knowlip",
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parents[2])}},
    )
    atexit.register(cluster.shutdown)
    atexit.register(ray.shutdown)
    return cluster
