"""What the processes of a test do; alone in a file that imports nothing, because every process imports it."""

import os
import signal
import time


def product(factor: int) -> int:
    """The factor times the number of processes; with 0 one of them refuses, below 0 one dies, and the other sleeps."""
    if factor > 0:
        return factor * int(os.environ["WORLD_SIZE"])
    if os.environ["RANK"] == "1":
        if factor == 0:
            raise ValueError("Nothing comes of nothing.")
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
    return 0
