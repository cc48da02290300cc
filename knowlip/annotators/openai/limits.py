"""Rate limits that all threads share: requests a minute and tokens a minute, as two token buckets."""

import threading
import time
from collections.abc import Callable

BURST_S = 6.0
"""Seconds of the rate that may be used at once: a full bucket lets the first minute pass 10 % more than the limit."""


class Bucket:
    """A token bucket that sells on credit: whoever takes more than there is waits until the debt is paid.

    Waiting times follow the order of the calls, and a request larger than the bucket passes too.

    Args:
        per_minute: refill; 0 = no limit.
        clock: seconds that only grow.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = per_minute / 60.0
        self._size = self._rate * BURST_S
        self._level, self._clock, self._at = self._size, clock, clock()

    def take(self, amount: float) -> float:
        """Take `amount` (a negative one gives back) and return the seconds to wait before using it."""
        if not self._rate:
            return 0.0
        now = self._clock()
        if self._level < self._size:  # what was given back may stand above the size: it was never used
            self._level = min(self._size, self._level + (now - self._at) * self._rate)
        self._at = now
        self._level -= amount
        return max(0.0, -self._level / self._rate)


class RateLimits:
    """Holds requests back so that an endpoint's limits are kept. Safe from threads.

    Args:
        requests_per_minute: 0 = no limit.
        tokens_per_minute: input and output together, as providers count; 0 = no limit.
        clock: seconds that only grow.
        sleep: waits.
    """

    def __init__(
        self,
        requests_per_minute: float = 0.0,
        tokens_per_minute: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._requests, self._tokens = Bucket(requests_per_minute, clock), Bucket(tokens_per_minute, clock)
        self._lock, self._clock, self._sleep = threading.Lock(), clock, sleep
        self._closed_until = clock()

    def wait(self, tokens: float) -> None:
        """Wait for the turn of one request that is expected to use `tokens`."""
        with self._lock:
            now = self._clock()
            wait = max(self._requests.take(1), self._tokens.take(tokens), self._closed_until - now)
        if wait > 0:
            self._sleep(wait)

    def settle(self, expected: float, used: float) -> None:
        """Correct what `wait` took by what was really used."""
        with self._lock:
            self._tokens.take(used - expected)

    def pause(self, seconds: float) -> None:
        """Let nobody begin a request for so long: the endpoint has said when it will listen again."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + seconds)
