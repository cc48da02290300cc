"""A model folder from another project's checkpoint; sizes are read from the file."""

from dataclasses import replace
from typing import Any, Literal, TypedDict

from knowlip.base.provenance import provenance
from knowlip.models.checkpoint import save_model
from knowlip.models.config import ModelConfig, TextConfig, VisionConfig
from knowlip.models.knowlip import KnowLIP
from knowlip.models.layout import unallocated
from knowlip.models.settings import ConvertConfig, Kind
from knowlip.models.tokenizer import TextTokenizer, read_casing, read_vocabulary
from knowlip.models.weights.bert import bert_names, convert_bert, text_sizes
from knowlip.models.weights.blip import DECODER, ENCODER, blip_kind, blip_names, convert_blip
from knowlip.models.weights.heads import find_heads
from knowlip.models.weights.ledger import WeightsReport, describe
from knowlip.models.weights.source import Source, read_source
from knowlip.models.weights.vit import OURS, convert_vit, find_tower, plain_vit, timm_config


class Converted(TypedDict):
    """What became of a conversion."""

    model: str
    """Its folder."""
    kind: Kind
    """What it was made from."""
    parameters: int
    weights: WeightsReport


def convert(config: ConvertConfig) -> Converted:
    """Write a model folder.

    Raises:
        ValueError: unknown layout, no vocabulary, or tensors without a place.
    """
    source = read_source(config.source)
    kind = _kind(source) if config.kind == "auto" else config.kind
    folder = config.source if config.source.is_dir() else config.source.parent
    vocabulary = config.vocabulary or folder / "vocab.txt"
    tokenizer = TextTokenizer.from_vocabulary(vocabulary)
    source.notes.append(read_casing(vocabulary.parent, read_vocabulary(vocabulary))[1])
    text = TextConfig() if kind == "vit" else _text(source, kind, config)
    if config.decoder_reads != "auto":
        text.decoder_reads = config.decoder_reads
    text.vocab_size = len(tokenizer)
    sizes = ModelConfig(_vision(source, kind, config), text, _embed_dim(source, kind))
    unallocated(sizes, tokenizer)  # sizes of a hostile file are refused before they take memory
    model = KnowLIP(sizes, tokenizer)
    given = None if config.vision_mean is None or config.vision_std is None else (config.vision_mean, config.vision_std)
    if kind == "blip":
        conversion = convert_blip(source, model)
    elif kind == "bert":
        conversion = convert_bert(source, model)
    else:
        conversion = convert_vit(source, model, given, grid=config.vision_grid)
    conversion.apply(model)
    report = conversion.report.as_dict()
    report["source"] = config.source.name  # a model folder names no folder of this machine
    save_model(model.eval(), config.out, {"weights": report, **provenance()})
    count = sum(parameter.numel() for parameter in model.parameters())
    return {"model": str(config.out), "kind": kind, "parameters": count, "weights": report}


def show(result: Converted) -> str:
    """The outcome for people."""
    return f"{result['model']}: {result['parameters'] / 1e6:.1f} million parameters\n{describe(result['weights'])}"


def _kind(source: Source) -> Literal["blip", "bert", "vit"]:
    """What a file holds, by the names of its tensors."""
    if any(name.startswith(("text_encoder.", "text_decoder.")) for name in source.state):
        return "blip"
    return "bert" if any("embeddings.word_embeddings." in name for name in source.state) else "vit"


def _text(source: Source, kind: str, config: ConvertConfig) -> TextConfig:
    """Sizes and wiring of the text tower."""
    text = TextConfig()
    if kind == "bert":
        names = bert_names(source)
    else:
        whole = blip_names(source)
        whose = blip_kind(source, whole)
        stack = DECODER if whose == "caption" else ENCODER
        names = {name.removeprefix(stack): key for name, key in whole.items() if name.startswith(stack)}
        text.tie_decoder, text.start_at_hole = whose != "vqa", False
        text.decoder_reads = "image" if whose in ("caption", "pre-trained") else "text"
    found: dict[str, Any] = dict(text_sizes(source.state, names))
    heads = find_heads(source, "text", found["width"], config.text_heads)
    found["max_length"] = min(config.max_length or found["max_length"], found["max_length"])
    return replace(text, **found, heads=heads)  # checks them


def _vision(source: Source, kind: str, config: ConvertConfig) -> VisionConfig:
    """timm name and sizes of the image tower."""
    if kind == "bert" or config.vision:
        side = config.image_size or VisionConfig.image_size
        changes = {} if config.vision_heads is None else {"num_heads": config.vision_heads}
        return VisionConfig(config.vision or VisionConfig.name, side, changes)
    layout, grid = "", config.vision_grid
    if kind == "blip":
        names = {name.removeprefix(OURS): key for name, key in blip_names(source).items() if name.startswith(OURS)}
    else:
        tower = find_tower(source, VisionConfig.name, ((0.0,), (1.0,)))  # names and layout alone are of interest here
        names, layout = tower.names, tower.layout
        if (named := timm_config(source, config.image_size)) is not None:
            return named
    found = plain_vit(source, names, config.vision_heads, layout, None if config.image_size else grid)
    return replace(found, image_size=config.image_size or found.image_size)


def _embed_dim(source: Source, kind: str) -> int:
    """Width of the embedding: that of the projections where the file has some."""
    projection = source.state.get("vision_proj.weight") if kind == "blip" else None
    return ModelConfig.embed_dim if projection is None else len(projection)
