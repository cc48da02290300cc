"""Memory that goes back to the system when arrays are freed, for as long as a piece of work needs it."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
"""M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of glibc's malloc.h."""
_LARGE = 1 << 20
_USUAL = 32 << 20
"""Where glibc's own, moving threshold ends up (DEFAULT_MMAP_THRESHOLD_MAX); that of trimming is twice as high."""
_lock, _users = Lock(), 0


@contextmanager
def lean() -> Iterator[None]:
    """While active, give arrays of 1 MB and more pages of their own, and return what is free at the beginning.

    By itself glibc raises that limit to 32 MB as it goes, and keeps what is freed below it: 70 MB more for a scene of
    complex numbers. But pages of their own cost a training a fifth of its speed, so the limit is 32 MB again at the
    end: it cannot be made to move again. May be nested. Does nothing with another C library.
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            _set(_LARGE, _LARGE)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _set(_USUAL, 2 * _USUAL)


def give_back() -> None:
    """Return to the system what is free. Does nothing with another C library than glibc."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _set(mmap_threshold: int, trim_threshold: int) -> None:
    try:
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, mmap_threshold)
        libc.mallopt(_TRIM_THRESHOLD, trim_threshold)
    except (AttributeError, OSError, TypeError):
        return
    give_back()
