"""What is set for a piece of work ends with it."""

import subprocess
import sys

import pytest

SCRIPT = """
import ctypes

import numpy as np

from knowlip.base.memory import lean


class Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uord ford keep".split()
    ]


libc = ctypes.CDLL(None)
if not hasattr(libc, "mallinfo2"):
    raise SystemExit(77)
libc.mallinfo2.restype = Mallinfo


def grown():
    before = libc.mallinfo2().hblks
    arrays = [np.ones(1 << 20, np.float32) for _ in range(4)]
    found = libc.mallinfo2().hblks - before
    del arrays
    return found


found = []
with lean():
    found.append(grown())
    with lean():
        pass
    found.append(grown())
found.append(grown())
try:
    with lean():
        raise KeyError
except KeyError:
    pass
found.append(grown())
print(found)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_large_arrays_have_pages_of_their_own_only_while_lean() -> None:
    """After a build, a training in the same process gets its arrays from the heap again. In a process of its own: what
    other tests have left free in the heap would hold the arrays, whatever is set."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("mallinfo2 is glibc's, from 2.33 on")
    # An inner block does not end the outer one, and an error ends it.
    assert done.stdout.strip() == "[4, 4, 0, 0]", done.stderr
