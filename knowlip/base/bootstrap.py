"""Python starts a process by reading the script again. A script that calls a command without a guard calls it again
there, before the process has begun; such a call is ended here.
"""

import sys
from multiprocessing import current_process
from typing import Final

UNGUARDED: Final = 87
"""Exit code of a process that read an unguarded script."""
WORKER: Final = "knowlip worker"
"""How the names of processes begin whose starter tells what :data:`SENTENCE` says."""
SENTENCE: Final = (
    "The script starts processes, each of which reads it from its top: put what it does below "
    '`if __name__ == "__main__":` (imports, functions and register(...) stay above), or give workers=1.'
)


def end_unguarded() -> None:
    """End this process where it is still reading the script of the process that started it: the call that asks was
    meant for that one, and would start processes without end or write the same files.

    Raises:
        SystemExit: with :data:`UNGUARDED`.
    """
    process = current_process()
    # The same mark by which multiprocessing itself refuses to start processes here.
    if not getattr(process, "_inheriting", False):
        return
    if not process.name.startswith(WORKER):
        print(SENTENCE, file=sys.stderr)
    raise SystemExit(UNGUARDED)
