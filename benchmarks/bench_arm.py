"""One arm of a benchmark of vision tasks: a `knowlip bench run`, its rows, and the CPU time that it took."""

import time

from knowlip.base.rows import Row, row_from
from knowlip.benchmark.run import SETTINGS, BenchRunConfig, bench_run


def bench_arm(config: BenchRunConfig) -> tuple[list[Row], float | None]:
    """Rows of an arm, and the CPU seconds of it all; None where a part of it was there already, whose time nobody knows
    if it was killed."""
    begun, started = (config.out / SETTINGS).exists(), time.process_time()
    rows = [row_from(row) for row in bench_run(config)["rows"]]
    return rows, None if begun else time.process_time() - started
