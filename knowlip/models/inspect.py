"""What a checkpoint of another project is, and what each encoder would make of it, told before anything is trained."""

from typing import TypedDict

from knowlip.models.encoders import encoder_kinds
from knowlip.models.encoders.foreign import Foreign, Settings, read_as, split_name
from knowlip.models.settings import InspectConfig
from knowlip.models.weights.ledger import WeightsReport, describe
from knowlip.models.weights.source import read_source


class Opened(TypedDict):
    """A file as one kind of encoder reads it."""

    what: str
    """Sizes."""
    said: list[str]
    """What no shape tells, and who says it."""
    reads_texts: bool
    licence: str
    saw: list[str]
    """What the project's weights were trained on."""
    note: str
    channels: int
    side: int
    mean: list[float]
    std: list[float]
    weights: WeightsReport


class Inspected(TypedDict):
    """What is known of a file."""

    file: str
    sha256: str
    tensors: int
    numbers: int
    first: list[str]
    """The first names, to recognise a layout that no encoder reads."""
    beside: list[str]
    """What else it holds."""
    notes: list[str]
    """Envelopes and prefixes that were taken off."""
    opens_as: dict[str, Opened]
    """Kind of encoder -> what it makes of the file. Layouts are shared: the name says whose weights they are."""
    asks: dict[str, str]
    """Kind -> the sentence with which it refuses the file, of kinds whose layout it is."""
    refused: dict[str, str]
    """The other kinds, likewise."""


def inspect_weights(config: InspectConfig) -> Inspected:
    """Read a file, and try it as every kind of encoder, or as one.

    Raises:
        ValueError: there is no such file, it is broken or hostile, or it is not what `kind` says.
    """
    modules = {kind: module for kind, module in encoder_kinds().items() if hasattr(module, "read")}
    kind, settings = config.kind, Settings()
    if config.kind:
        name, settings = split_name(config.kind)
        kind = str(name)
        if kind not in modules:
            raise ValueError(f"There is no encoder of other projects {kind!r:.40}: there are {', '.join(modules)}.")
    source = read_source(config.file)
    opens: dict[str, Opened] = {}
    asks: dict[str, str] = {}
    refused: dict[str, str] = {}
    for one in [kind] if kind else modules:
        asked = Settings(dict(settings.given))
        try:
            found = read_as(one, modules[one].read, source, asked, config.size)
            asked.close(one)
            opens[one] = _opened(found)
        except ValueError as error:
            if kind:
                raise
            # Who asks for a setting by its name has recognised the layout.
            (asks if "give " in str(error) and "=" in str(error) else refused)[one] = str(error)
    return {
        "file": str(config.file),
        "sha256": source.sha256,
        "tensors": len(source.state),
        "numbers": sum(value.numel() for value in source.state.values()),
        "first": [f"{name} {tuple(value.shape)}" for name, value in list(source.state.items())[:3]],
        "beside": source.beside,
        "notes": source.notes,
        "opens_as": opens,
        "asks": asks,
        "refused": refused,
    }


def show(result: Inspected) -> str:
    """The outcome for people."""
    lines = [f"{result['file']}: {result['tensors']} tensors, {result['numbers'] / 1e6:.1f} million numbers"]
    lines += [f"  {note}" for note in result["notes"]]
    if result["beside"]:
        lines.append(f"  beside the weights: {', '.join(result['beside'][:8])}")
    for kind, opened in result["opens_as"].items():
        texts = "images and texts" if opened["reads_texts"] else "images"
        lines.append(f"{kind}: {opened['what']} ({texts})")
        if len(result["opens_as"]) == 1:
            lines += [f"  {line}" for line in describe(opened["weights"]).split("\n") if line not in result["notes"]]
        lines += [f"  {said}" for said in opened["said"]]
        lines.append(f"  licence: {opened['licence']}; saw: {', '.join(opened['saw'])}. {opened['note']}".rstrip())
    lines += [f"{kind} asks: {why}" for kind, why in result["asks"].items()]
    if len(result["opens_as"]) > 1:
        lines.append(
            "The layout is shared: whose weights they are stands nowhere in the file; --kind tells all of one."
        )
    if not result["opens_as"] and not result["asks"]:
        lines.append(f"No encoder of other projects reads it; its first tensors are {', '.join(result['first'])}.")
    return "\n".join(lines)


def _opened(found: Foreign) -> Opened:
    encoder = found.encoder
    return {
        "what": found.what,
        "said": found.said,
        "reads_texts": hasattr(encoder, "text"),
        "licence": encoder.licence,
        "saw": list(encoder.card.trained_on),
        "note": encoder.card.note,
        "channels": encoder.pixels.channels,
        "side": encoder.pixels.size,
        "mean": list(encoder.pixels.mean),
        "std": list(encoder.pixels.std),
        "weights": found.conversion.report.as_dict(),
    }
