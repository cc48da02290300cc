"""Rows of values as lines for a terminal."""

from collections.abc import Sequence


def in_columns(head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows below their head, each column as wide as its widest cell; nothing where there are no rows.

    Args:
        head: a name a column.
        rows: cells, as many as names.
        right: columns of numbers, which end at one edge.
    """
    if not rows:
        return []
    lines = [head, *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    ]
