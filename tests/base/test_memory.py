"""What is set for a piece of work ends with it."""

import ctypes
import sys

import numpy as np
import pytest

from knowlip.base.memory import lean


class _Mallinfo(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uord ford keep".split()
    ]


def own_pages():
    """How many blocks of malloc have pages of their own."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        pytest.skip("mallinfo2 is glibc's, from 2.33 on")
    libc.mallinfo2.restype = _Mallinfo
    return libc.mallinfo2().hblks


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_large_arrays_have_pages_of_their_own_only_while_lean():
    """After a build, a training in the same process gets its arrays from the heap again."""

    def grown():
        before = own_pages()
        arrays = [np.ones(1 << 20, np.float32) for _ in range(4)]
        found = own_pages() - before
        del arrays
        return found

    with lean():
        assert grown() == 4
        with lean():
            pass
        assert grown() == 4, "an inner block does not end the outer one"
    assert grown() == 0
    with pytest.raises(KeyError), lean():
        raise KeyError
    assert grown() == 0
