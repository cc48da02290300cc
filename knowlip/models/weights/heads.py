"""How many heads of attention a foreign file has: no shape tells, and with another number it computes something else.

The file's `config.json` is believed, then what the training saved beside the weights, then a layout of which every
published model has as many. Where nothing says, published models of that width are a guide that the report names; where
they differ or there are none, the number has to be given.
"""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

from knowlip.models.config import CHANGES
from knowlip.models.weights.source import Source

Part = Literal["vision", "text"]
_KEYS: Final = ("num_attention_heads", "num_heads")
_VITS: Final = {192: 3, 384: 6, 768: 12, 1024: 16, 1152: 16, 1280: 16, 1408: 16, 1536: 24, 1664: 16}
"""Width -> heads of timm's plain ViTs: tiny, small, base, large, so400m, huge, giant, DINOv2's giant, gigantic."""
_OTHERS: Final = {192: "TinyMIM's and MAE-Lite's have 12", 384: "MoCo v3's has 12"}
_BERTS: Final = {768: 12, 1024: 16}
"""Width -> heads of BERT's base and large. Of 384 there are MiniLM with 12 and others with 6."""


class SaidHeads(NamedTuple):
    """A number of heads and who says so."""

    number: int
    who: str


def said_heads(source: Source, part: Part, layout: str = "", width: int = 0) -> SaidHeads | None:
    """What the file, what lies beside it or its layout says; None where nothing does.

    Args:
        source: the file.
        part: which tower of it.
        layout: whose file it is, where that says more.
        width: of the tower.

    Raises:
        ValueError: it says something that is no number of heads.
    """
    config = source.config.get(f"{part}_config", source.config)
    if not isinstance(config, Mapping):
        raise ValueError(f"config.json beside {source.path}: {part}_config must hold settings.")
    arguments = source.config.get("model_args")  # of timm's
    known_by_timm = arguments if part == "vision" and isinstance(arguments, Mapping) else {}
    beside = "config.json beside the file"
    for known, who in ((config, beside), (known_by_timm, beside), (source.facts, "the file's own settings")):
        found = {int(known[key]) if CHANGES["num_heads"](known[key]) else -1 for key in _KEYS if key in known}
        if -1 in found or len(found) > 1:
            raise ValueError(f"{source.path}: {who} has no sound number of heads.")
        if found:
            return SaidHeads(found.pop(), f"as {who} says")
    if layout == "DINOv2":
        return SaidHeads(max(1, width // 64), "64 channels a head, as every published DINOv2 has")
    if layout == "MoCo v3" and width == 384:
        return SaidHeads(12, "as MoCo v3's small ViT has")
    return None


def find_heads(source: Source, part: Part, width: int, asked: int | None, layout: str = "") -> int:
    """The number of heads for a model that is made to fit the file.

    Args:
        source: the file; who says the number is kept in its `heads_from`.
        part: which tower.
        width: of the tower.
        asked: what the user says.
        layout: whose file it is.

    Raises:
        ValueError: nobody says, or two say different numbers.
    """
    said = said_heads(source, part, layout, width)
    if said is not None:
        if asked not in (None, said.number):
            raise ValueError(f"{source.path} has {said.number} heads, {said.who}, not {asked}: leave out {part}_heads.")
        return said.number
    if asked is not None:
        source.heads_from[part] = f"as {part}_heads says"
        return asked
    usual = (_VITS if part == "vision" else _BERTS).get(width)
    if usual is None:
        hint = " (12 for MiniLM)" if part == "text" and width == 384 else ""
        raise ValueError(
            f"{source.path} does not say how many heads of attention its {part} tower of width {width} has: give "
            f"--{part}_heads{hint}, or keep its config.json beside it."
        )
    kind = "timm's ViTs" if part == "vision" else "Google's BERTs"
    other = f"; {_OTHERS[width]}" if part == "vision" and width in _OTHERS else ""
    source.heads_from[part] = f"as {kind} of width {width} have{other}; --{part}_heads takes another number"
    return usual


def check_heads(source: Source, part: Part, ours: int, setting: str, layout: str = "", width: int = 0) -> str:
    """Compare a model's heads with the file's.

    Returns:
        Who says them, as a sentence for the report.

    Raises:
        ValueError: the file has another number; the sentence names the setting.
    """
    said = said_heads(source, part, layout, width)
    if said is None:
        who = source.heads_from.get(part, f"as the model is set ({setting.partition(' ')[0]})")
        return f"The file does not say how many heads its {part} tower has: {ours} are taken, {who}."
    if said.number != ours:
        raise ValueError(
            f"{source.path} has {said.number} heads, {said.who}, the model {ours}: set {setting.format(said.number)}."
        )
    return f"The {part} tower has {ours} heads, {said.who}."
