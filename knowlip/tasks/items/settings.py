"""Settings of `knowlip questions make` and `import`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Literal

from knowlip.annotators.labels.captions import WORDINGS
from knowlip.language.clear import Clearness

Positions = Literal["name", "number", "both"]
Copies = Literal["apart", "anywhere"]


@dataclass(frozen=True)
class MakeConfig:
    """What is said and asked of each tile."""

    POSITIONAL: ClassVar = ("dataset",)
    dataset: Path
    """Data set with truth, boxes or masks."""
    out: Path
    """Folder for items.json and examples.html."""
    seed: int = 0
    """Draws the wordings, the regions asked about, and what is left out for balance."""
    captions: int = WORDINGS
    """Captions of each image, each in a wording of its own: at most five, 0 for none."""
    regions: int = 4
    """Regions of each image whose landform is asked for, at most nine, drawn among those with a clear one."""
    positions: Positions = "name"
    """How regions are called: "name" ("upper left"), "number" ("region 1", as the paper), or "both", each in a question
    of its own."""
    balance: float = 0.0
    """How far frequent answers of a type, and frequent types, are cut down in every split: 0 keeps all, 1 keeps no
    more of an answer than the median answer of its type has, and no more of a type than the median type."""
    copies: Copies = "apart"
    """apart: nothing is said or asked in training about a tile that shows the same as one that is held out (near
    copies, shared ground); anywhere: copies are not looked for."""
    clear: Clearness = field(default_factory=Clearness)
    """How far from another answer an answer must be."""

    def __post_init__(self) -> None:
        if not 0 <= self.captions <= WORDINGS:
            raise ValueError(f"captions must lie from 0 to {WORDINGS}, not {self.captions}.")
        if not 0 <= self.regions <= 9:
            raise ValueError(f"regions must lie from 0 to 9, not {self.regions}.")
        if not 0 <= self.balance <= 1:
            raise ValueError(f"balance must lie from 0 (as they come) to 1, not {self.balance}.")
        if self.positions not in ("name", "number", "both"):
            raise ValueError(f"positions must be name, number or both, not {self.positions!r}.")
        if self.copies not in ("apart", "anywhere"):
            raise ValueError(f"copies must be apart or anywhere, not {self.copies!r}.")


Form = Literal["auto", "items", "coco", "table"]
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "image": ("image", "file_name", "filename", "image_name", "img_name", "img", "file", "tile_id", "image_id", "name"),
    "caption": ("caption", "captions", "text", "description"),
    "question": ("question", "questions", "query"),
    "answer": ("answer", "answers", "gt", "ground_truth"),
    "type": ("type", "question_type", "category", "task", "application"),
}
"""What a record says -> the names that its column may have, the first that is there."""


@dataclass(frozen=True)
class ImportItemsConfig:
    """Whose captions and questions become those of which tiles."""

    POSITIONAL: ClassVar = ("dataset",)
    dataset: Path
    """Data set with the images."""
    files: list[Path]
    """Files of captions and questions."""
    out: Path
    """Folder for items.json and examples.html."""
    form: Form = "auto"
    """How the files are written; "auto" looks."""
    columns: tuple[str, ...] = ()
    """Of tables: which column is what, as WHAT=NAME, where it has none of the usual names; WHAT is image, caption,
    question, answer or type."""

    def __post_init__(self) -> None:
        if self.form not in ("auto", "items", "coco", "table"):
            raise ValueError(f"form must be auto, items, coco or table, not {self.form!r}.")
        for one in self.columns:
            what, equals, name = one.partition("=")
            if what not in NAMES or not equals or not name:
                raise ValueError(f"columns are WHAT=NAME, WHAT being {', '.join(NAMES)}; not {one!r}.")
