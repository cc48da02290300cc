"""Small pieces of HTML that several sections share."""

# ruff: noqa: E501 (markup is easier to read in one line)

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

VERDICTS: Final[dict[bool | None, tuple[str, str, str]]] = {
    True: ("true", "✓", "true"),
    False: ("wrong", "✗", "wrong"),
    None: ("unknown", "–", "not verifiable"),
}
"""Verdict -> CSS class, symbol, words."""


def verdict(value: bool | None) -> str:
    """A verdict as symbol, colour and words (never colour alone)."""
    kind, symbol, words = VERDICTS[value]
    return f'<span class="verdict {kind}"><i aria-hidden="true">{symbol}</i> {words}</span>'


def picture(uri: str, label: str, kind: str = "thumb") -> str:
    """An image with its text alternative."""
    return f'<img class="{kind}" src="{uri}" alt="{escape(label)}" loading="lazy">'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Sequence[int] = (), kind: str = "") -> str:
    """A table; cells are HTML already, columns in `numeric` are aligned to the right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(f"<{tag}{' class=num' if i in numeric else ''}>{cell}</{tag}>" for i, cell in enumerate(row))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="scroll"><table class="{kind}"><thead><tr>{cells("th", head)}</tr></thead><tbody>{body}</tbody></table></div>'


def missing(what: str) -> str:
    """A sentence in place of something that was not measured."""
    return f'<p class="missing">{escape(what)}</p>'


def long_text(text: str, most: int = 170) -> str:
    """A text that opens on a click when it is long."""
    if len(text) <= most:
        return f"<p>{escape(text)}</p>"
    cut = text[:most].rsplit(" ", 1)[0]
    return f"<details><summary>{escape(cut)} …</summary><p>{escape(text)}</p></details>"


def claim_list(claims: Sequence[Mapping[str, Any]]) -> str:
    """Sub-texts with their verdicts."""
    items = "".join(
        f'<li class="{VERDICTS[claim["true"]][0]}"><b>{escape(claim["dimension"])}</b> <span>{escape(claim["text"].replace(" .", "."))}</span> '
        f"{verdict(claim['true'])}</li>"
        for claim in claims
    )
    return f'<ul class="claims">{items}</ul>'
