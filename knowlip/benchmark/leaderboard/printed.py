"""What the paper prints (arXiv 2509.23927), apart from everything measured here, with what its test sizes allow.

A share of independent trials has Wilson's interval of the size that the paper states; areas (AP), means over classes
(mIoU) and scores of captions are no shares of trials, and a set whose size it does not state has none.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from knowlip.base.statistics import wilson
from knowlip.benchmark.llm.published import PUBLISHED

SOURCE: Final = "arXiv 2509.23927"
OURS: Final = "SAR-KnowLIP (ViT-B)"
LARGE: Final = "SAR-KnowLIP (ViT-L)"
NOT_STATED: Final = "size not stated"
NO_SHARE: Final = "no share of trials"


class PrintedColumn(NamedTuple):
    """A column of one of the paper's tables."""

    data: str
    metric: str
    n: int | None
    """Trials as far as they can be known; None: the paper does not state them."""
    share: bool = True
    """Whether it is a share of independent trials."""
    about: str = ""
    """What must be said of n."""


class PrintedTable(NamedTuple):
    """One table."""

    number: int
    title: str
    columns: tuple[PrintedColumn, ...]
    rows: Mapping[str, tuple[float | None, ...]]
    """Model -> values in per cent (scores of captions: as printed)."""


class PrintedCell(NamedTuple):
    """A value as it is shown."""

    value: str
    interval: str
    """"" without a value; else the interval, or why there is none."""


_CHIPS: Final = 608
"""SAR-ACD: a fifth of 3,032 chips."""
_IMAGES, _TEXTS = 161, 805
"""Values of its Table 6 are multiples of 1/161 (TXT) and 1/805 (IMG): 161 images with five captions each."""
_ACD: Final[Mapping[str, tuple[float, float]]] = {
    "MoCo v3": (71.87, 95.72),
    "SAR-JEPA": (69.40, 95.72),
    "MAE": (63.81, 92.43),
    "BLIP": (56.25, 92.59),
    "Prithvi": (54.93, 91.61),
    "SkyScript": (54.11, 88.48),
    "RemoteCLIP": (44.57, 82.73),
    "GeoRSCLIP": (44.57, 83.88),
    "CLIP": (38.65, 83.05),
    "BAN": (37.00, 76.64),
    "ChangeCLIP": (33.22, 71.38),
}
_TYPES: Final = (
    PrintedColumn("VQA", "count accuracy", 921),
    PrintedColumn("VQA", "recognition accuracy", 1596, about="about 1,596"),
    PrintedColumn("VQA", "position accuracy", 760, about="about 760"),
    PrintedColumn("VQA", "main landform accuracy", 183),
    PrintedColumn("VQA", "all landforms accuracy", 183),
    PrintedColumn("VQA", "regional landform accuracy", 732),
)
PRINTED: Final = (
    PrintedTable(
        4,
        "Classification, detection, segmentation",
        (
            *(PrintedColumn("FUSAR-AIR", f"top-{k}", None) for k in (1, 3)),
            *(PrintedColumn("FUSAR-SHIP", f"top-{k}", None) for k in (1, 3)),
            *(PrintedColumn("SAR-ACD, random 4:1", f"top-{k}", _CHIPS) for k in (1, 3)),
            *(PrintedColumn(name, "AP50", None, share=False) for name in ("FU-AS", "FU-SS", "AIR-F")),
            *(PrintedColumn("FUSAR-MAP", name, None, share=False) for name in ("OA", "mIoU")),
            *(PrintedColumn("AIR-PolSAR-Seg", name, None, share=False) for name in ("OA", "mIoU")),
        ),
        {
            OURS: (81.90, 93.32, 69.15, 96.54, 91.11, 99.84, 74.36, 85.87, 73.04, 81.37, 43.01, 76.75, 51.75),
            LARGE: (75.96, 90.35, 66.84, 95.14, 77.46, 98.02, 68.14, 82.54, 68.97, 79.13, 38.41, 70.62, 46.29),
            **{name: (None,) * 4 + values + (None,) * 7 for name, values in _ACD.items()},
        },
    ),
    PrintedTable(
        6,
        "Retrieval and captions",
        (
            *(PrintedColumn("image to text", f"R@{k}", _IMAGES) for k in (1, 5, 10)),
            *(PrintedColumn("text to image", f"R@{k}", _TEXTS) for k in (1, 5, 10)),
            PrintedColumn("retrieval", "mean recall", None, share=False),
            *(PrintedColumn("captions", name, None, share=False) for name in ("BLEU-4", "METEOR", "CIDEr", "SPICE")),
        ),
        {
            OURS: (20.50, 38.51, 50.93, 20.25, 49.57, 68.45, 41.37, 80.01, 57.68, 113.46, 51.40),
            LARGE: (26.70, 39.13, 51.55, 29.81, 61.86, 75.90, 47.49, 79.64, 58.66, 117.83, 52.11),
        },
    ),
    PrintedTable(
        7,
        "Questions, beside general language models",
        _TYPES,
        {**PUBLISHED, LARGE: (98.91, 93.36, 98.16, 90.89, 96.72, 81.42)},
    ),
    PrintedTable(
        8,
        "Ablation on questions",
        _TYPES,
        {
            "SARLANG": (71.12, 86.24, 92.24, 94.54, 83.61, 78.96),
            "GEOVL": (92.83, 93.86, 93.68, 96.17, 86.34, 85.52),
            "+ screening": (97.18, 95.80, 94.61, 98.36, 87.43, 88.39),
            "+ refinement": (98.70, 96.43, 97.89, 99.45, 89.07, 93.58),
        },
    ),
)


def printed_cell(column: PrintedColumn, value: float | None) -> PrintedCell:
    """A value with the interval that its test size allows.

    The trials of a data set are not independent where it holds near copies, so the interval is the narrowest possible.
    """
    if value is None:
        return PrintedCell("–", "")
    if not column.share:
        return PrintedCell(f"{value:.2f}", NO_SHARE)
    if column.n is None:
        return PrintedCell(f"{value:.2f}", NOT_STATED)
    low, high = wilson(value / 100 * column.n, column.n)
    return PrintedCell(f"{value:.2f}", f"{100 * low:.1f}–{100 * high:.1f}")


def n_told(column: PrintedColumn) -> str:
    """The test size for a head, "" where it is not stated."""
    return "" if column.n is None else f"n {column.about or f'{column.n:,}'}"
