"""Calls that are killed, at a given file, in processes of their own."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def mortal(function: Callable[[Any], Any], config: Any, folder: Path) -> None:
    """Call a function; this process ends (SIGKILL) where a second new file of the folder would get its name."""
    new = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal new
        if event != "os.rename":
            return
        target = Path(os.fsdecode(arguments[1]))
        if target.is_relative_to(folder) and not target.exists():
            new += 1
            if new == 2:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    function(config)
