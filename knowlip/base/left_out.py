"""Whether a command could not use all that it was given: what its exit code 1 says."""

from collections.abc import Mapping, Sequence
from typing import Any


def is_left_out(result: Any, places: Sequence[str]) -> bool:
    """Whether a result lists anything that could not be used.

    Args:
        result: of a command: plain values, and dataclasses.
        places: where it lists such, as "failed" or "import.bad.count": names of entries or fields; in a list those of
            each of its items. What is not there is nothing.
    """
    return any(_holds(result, place.split(".")) for place in places)


def _holds(value: Any, names: Sequence[str]) -> bool:
    """Whether something stands under these names."""
    if names and isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return any(_holds(item, names) for item in value)
    if not names:
        return any(_holds(item, ()) for item in value.values()) if isinstance(value, Mapping) else bool(value)
    inner = value.get(names[0]) if isinstance(value, Mapping) else getattr(value, names[0], None)
    return _holds(inner, names[1:])
