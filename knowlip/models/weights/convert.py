"""A model folder from another project's checkpoint; sizes are read from the file."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, TypedDict

from knowlip.base.provenance import provenance
from knowlip.models.checkpoint import save_model
from knowlip.models.config import ModelConfig, TextConfig, VisionConfig
from knowlip.models.knowlip import KnowLIP
from knowlip.models.tokenizer import TextTokenizer
from knowlip.models.weights.bert import bert_names, convert_bert, text_sizes
from knowlip.models.weights.blip import DECODER, ENCODER, blip_kind, blip_names, convert_blip
from knowlip.models.weights.ledger import WeightsReport, describe
from knowlip.models.weights.source import Source, read_source
from knowlip.models.weights.vit import OURS, convert_vit, find_tower, plain_vit

Kind = Literal["auto", "blip", "bert", "vit"]


@dataclass(frozen=True)
class ConvertConfig:
    """What to convert, and into what."""

    source: Path
    """BLIP, BERT or ViT checkpoint: safetensors, ONNX, a PyTorch file, or a folder of the Hugging Face hub."""
    out: Path
    """Model folder to write."""
    kind: Kind = "auto"
    """What the file holds; auto looks at the names of its tensors. A BERT or a ViT leaves the other tower random."""
    vocabulary: Path | None = None
    """`vocab.txt` of the BERT that the text tower was trained with; by default the one beside the file."""
    vision: str = ""
    """timm name of the image tower where it is not a plain ViT, whose sizes are read from the file."""
    image_size: int | None = None
    """Side of the input in pixels, where it should not be the file's (224 with `vision`): position embeddings are
    resized."""
    max_length: int | None = None
    """Longest token sequence, where it should be less than the file's positions."""
    decoder_reads: Literal["auto", "text", "image"] = "auto"
    """What a BLIP's decoder shall read: auto is what it was trained for, the image (captions) or text (questions).
    "text" makes a pre-trained BLIP ready to be fine-tuned on questions."""

    POSITIONAL: ClassVar = ("source",)


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
    tokenizer = TextTokenizer.from_vocabulary(config.vocabulary or folder / "vocab.txt")
    text = TextConfig() if kind == "vit" else _text(source, kind, config.max_length)
    if config.decoder_reads != "auto":
        text.decoder_reads = config.decoder_reads
    text.vocab_size = len(tokenizer)
    model = KnowLIP(ModelConfig(_vision(source, kind, config), text, _embed_dim(source, kind)), tokenizer)
    if kind == "blip":
        conversion = convert_blip(source, model)
    else:
        conversion = convert_bert(source, model) if kind == "bert" else convert_vit(source, model)
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


def _text(source: Source, kind: str, max_length: int | None) -> TextConfig:
    """Sizes and wiring of the text tower."""
    text, known = TextConfig(), source.config
    if kind == "bert":
        names = bert_names(source)
    else:
        whole, known = blip_names(source), source.config.get("text_config", {})
        found = blip_kind(source, whole)
        stack = DECODER if found == "caption" else ENCODER
        names = {name.removeprefix(stack): key for name, key in whole.items() if name.startswith(stack)}
        text.tie_decoder, text.start_at_hole = found != "vqa", False
        text.decoder_reads = "image" if found in ("caption", "pre-trained") else "text"
    for setting, size in text_sizes(source.state, names).items():
        setattr(text, setting, size)
    text.heads = known.get("num_attention_heads", max(1, text.width // 64))
    text.max_length = min(max_length or text.max_length, text.max_length)
    return text


def _vision(source: Source, kind: str, config: ConvertConfig) -> VisionConfig:
    """timm name and sizes of the image tower."""
    if kind == "bert" or config.vision:
        return VisionConfig(config.vision or VisionConfig.name, config.image_size or VisionConfig.image_size)
    if kind == "blip":
        names = {name.removeprefix(OURS): key for name, key in blip_names(source).items() if name.startswith(OURS)}
    else:
        names = find_tower(source, VisionConfig.name).names
    known = source.config.get("vision_config", {}) if kind == "blip" else source.config
    found = plain_vit(source, names, known.get("num_attention_heads"))
    found.image_size = config.image_size or found.image_size
    return found


def _embed_dim(source: Source, kind: str) -> int:
    """Width of the embedding: that of the projections where the file has some."""
    projection = source.state.get("vision_proj.weight") if kind == "blip" else None
    return ModelConfig.embed_dim if projection is None else len(projection)
