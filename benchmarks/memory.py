"""Peak memory of a process and everything it started."""

import os
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_EVERY_S = 0.05


def measured(process: subprocess.Popen[str]) -> float:
    """Wait for a process; the largest sum of resident memory over its tree, in MB (10^6 bytes).

    The tree is sampled every 50 ms, and the kernel's own high-water mark of the process counts where it is larger.
    """
    peak = 0.0
    while process.poll() is None:
        tree = _tree(process.pid)
        peak = max(peak, sum(_status(number, "VmRSS") for number in tree), _status(process.pid, "VmHWM"))
        time.sleep(_EVERY_S)
    return peak


def resident_peak_mb() -> float:
    """The largest resident memory of this process so far, in MB."""
    return _status(os.getpid(), "VmHWM")


def forget_peak() -> None:
    """From now on the largest resident memory of this process counts anew."""
    Path("/proc/self/clear_refs").write_text("5")


def spent(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What a piece of work gives, the CPU seconds it took, and the peak memory of this process in GB (10^9 bytes)."""
    begun, started = time.process_time(), time.perf_counter()
    before = _children()
    result = work()
    cpu = time.process_time() - begun + _children() - before
    seconds = time.perf_counter() - started
    peak = resident_peak_mb() / 1000
    return {**result, "cpu_s": round(cpu, 2), "seconds": round(seconds, 1), "peak_gb": round(peak, 3)}


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tree(root: int) -> list[int]:
    found = [root]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(number) for number in task.read_text().split()]
            except OSError:  # it ended meanwhile
                continue
    return found


def _status(process: int, key: str) -> float:
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:  # it ended meanwhile
        return 0.0
    for line in text.splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
