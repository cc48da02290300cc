"""The kinds of evidence about a sub-text, and which of them `scio.evidence` decides on.

    itc         dITC, change of the contrastive loss when the sub-text is left out (Eq. 10); low speaks for noise
    itm         dITM, change of the matching score (Eq. 11)
    nll         negative log-likelihood of its words, in nats a token, by the infilling decoder that sees the image
    gap         how far its tokens lie below the likeliest ones
    max_nll     the same of its least probable token
    blind       nll with the images of other tiles of the same instruction set, mean over some
    turned      nll of the turned text on the turned image, mean over some turns; words turn exactly
    speckled    nll on the image with other speckle, mean over some draws
    neighbours  -log p of its claims given those of parent, siblings and children; no image is looked at
    claims      -log p of its claims by the model's readout of the image; where the model has one

A feature is made of these. All but `itc` are high where the sub-text is suspect. `gain` is nll - blind: what the right
image does for the words, in nats a token, with the sign turned; a feature that needs the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np

from knowlip.language.dimensions import SLOTS

KINDS: Final = ("itc", "itm", "nll", "gap", "max_nll", "blind", "turned", "speckled", "neighbours", "claims")
"""Names of the evidence."""
DELTAS: Final = ("itc", "itm")
"""Differences that leaving a sub-text out makes: the two tests of the paper."""
DECODER: Final = ("nll", "gap", "max_nll")
"""What the infilling decoder says of the words on their own image."""
VIEWS: Final = ("blind", "turned", "speckled")
"""What it says of them on others."""
FEATURES: Final[dict[str, tuple[str, ...]]] = {
    **{kind: (kind,) for kind in (*DELTAS, *DECODER)},
    "gain": ("nll", "blind"),
    "turned": ("turned",),
    "speckled": ("speckled",),
    "neighbours": ("neighbours",),
    "claims": ("claims",),
}
"""Feature -> the kinds that it is made of."""
NAMED: Final[dict[str, tuple[str, ...]]] = {"deltas": DELTAS, "all": tuple(FEATURES)}
"""Names for several features."""


def features_of(evidence: str) -> tuple[str, ...]:
    """The features that a setting of `scio.evidence` names.

    Raises:
        ValueError: one that there is not, or none, or one twice.
    """
    names = NAMED.get(evidence) or tuple(evidence.split("+"))
    strange = [name for name in names if name not in FEATURES]
    if strange or len({*names}) < len(names):
        raise ValueError(
            f"scio.evidence is {evidence!r}: take deltas, all, or some of {', '.join(FEATURES)}, joined by '+'."
        )
    return names


def kinds_of(evidence: str) -> tuple[str, ...]:
    """The kinds of evidence that a setting reads, in the order of :data:`KINDS`."""
    used = {kind for feature in features_of(evidence) for kind in FEATURES[feature]}
    return tuple(kind for kind in KINDS if kind in used)


def _unknown() -> np.ndarray:
    return np.empty((0, SLOTS))


@dataclass
class Evidence:
    """Figures (N, 8) of the sub-texts of N texts, see the module; NaN where not asked for or not known."""

    itc: np.ndarray
    itm: np.ndarray = field(default_factory=_unknown)
    nll: np.ndarray = field(default_factory=_unknown)
    gap: np.ndarray = field(default_factory=_unknown)
    max_nll: np.ndarray = field(default_factory=_unknown)
    blind: np.ndarray = field(default_factory=_unknown)
    turned: np.ndarray = field(default_factory=_unknown)
    speckled: np.ndarray = field(default_factory=_unknown)
    neighbours: np.ndarray = field(default_factory=_unknown)
    claims: np.ndarray = field(default_factory=_unknown)

    def __post_init__(self) -> None:
        for one in fields(self):
            if len(getattr(self, one.name)) != len(self.itc):
                setattr(self, one.name, np.full((len(self.itc), SLOTS), np.nan))

    @classmethod
    def empty(cls, count: int) -> "Evidence":
        """NaN everywhere."""
        return cls(np.full((count, SLOTS), np.nan))

    @classmethod
    def joined(cls, parts: Sequence["Evidence"]) -> "Evidence":
        """The texts of several, one behind the other."""
        return cls(*(np.concatenate([getattr(part, kind) for part in parts]) for kind in KINDS))

    def __len__(self) -> int:
        return len(self.itc)

    def rows(self, rows: np.ndarray | list[int]) -> "Evidence":
        """A copy of some texts' figures."""
        return Evidence(*(getattr(self, kind)[rows].copy() for kind in KINDS))

    def injected(
        self, rows: Sequence[int] | np.ndarray, slots: Sequence[int] | np.ndarray, found: "Evidence"
    ) -> "Evidence":
        """The texts `rows` with figures of `found` (as many texts) at one position of each."""
        mixed, at = self.rows(np.asarray(rows, int)), np.arange(len(rows))
        for kind in KINDS:
            getattr(mixed, kind)[at, slots] = getattr(found, kind)[at, slots]
        return mixed
