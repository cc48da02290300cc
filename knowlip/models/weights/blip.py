"""BLIP: both towers, heads and decoder, in Salesforce's layout or that of Hugging Face's `Blip*` classes.

Four kinds of file: pre-trained (decoder tied to the encoder but for self-attention), retrieval and matching (no
decoder), captioning (decoder alone, which reads the image), and VQA (a decoder of its own, which reads text states).
"""

import re
from typing import Literal

import torch

from knowlip.models.knowlip import KnowLIP
from knowlip.models.weights.bert import OF_READOUT, check_text, place_positions, place_words
from knowlip.models.weights.heads import check_heads
from knowlip.models.weights.ledger import Conversion, WeightLedger
from knowlip.models.weights.source import Source
from knowlip.models.weights.vit import CLIP, OURS, place_tower

Kind = Literal["pre-trained", "retrieval", "caption", "vqa"]
ENCODER, DECODER, HEAD = "text_encoder.", "text_decoder.bert.", "text_decoder.cls."
_MOMENTUM = re.compile(r"(visual_encoder|text_encoder|vision_proj|text_proj)_m\.")
_QUEUE = re.compile(r"(image|text|idx|ptr)_queue$|queue_ptr$")
_NONE = torch.empty(0)
_HUGGING_FACE = (
    (r"^vision_model\.embeddings\.class_embedding$", "visual_encoder.cls_token"),
    (r"^vision_model\.embeddings\.position_embedding$", "visual_encoder.pos_embed"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "visual_encoder.patch_embed.proj."),
    (r"^vision_model\.encoder\.layers\.(\d+)\.self_attn\.qkv\.", r"visual_encoder.blocks.\1.attn.qkv."),
    (r"^vision_model\.encoder\.layers\.(\d+)\.self_attn\.projection\.", r"visual_encoder.blocks.\1.attn.proj."),
    (r"^vision_model\.encoder\.layers\.(\d+)\.layer_norm([12])\.", r"visual_encoder.blocks.\1.norm\2."),
    (r"^vision_model\.encoder\.layers\.(\d+)\.mlp\.", r"visual_encoder.blocks.\1.mlp."),
    (r"^vision_model\.post_layernorm\.", "visual_encoder.norm."),
)


def blip_names(source: Source) -> dict[str, str]:
    """Salesforce's names -> names of the file, whichever of the two layouts it has.

    Raises:
        ValueError: the file is no BLIP of image and text.
    """
    names = {}
    for key in source.state:
        name = key
        for pattern, replacement in _HUGGING_FACE:
            name = re.sub(pattern, replacement, name)
        names[name] = key
    has_text = any(f"{prefix}embeddings.word_embeddings.weight" in names for prefix in (ENCODER, DECODER))
    if "visual_encoder.patch_embed.proj.weight" not in names or not has_text:
        raise ValueError(
            f"{source.path} holds no BLIP for pre-training, retrieval, captions or questions; its first tensor is "
            f"{next(iter(source.state))}."
        )
    return names


def blip_kind(source: Source, names: dict[str, str]) -> Kind:
    """Which of BLIP's models a file holds."""
    if f"{ENCODER}embeddings.word_embeddings.weight" not in names:
        return "caption"
    if f"{DECODER}embeddings.word_embeddings.weight" not in names:
        return "retrieval"
    same = all(
        torch.equal(source.state[key], source.state.get(names.get(f"{ENCODER}{name.removeprefix(DECODER)}", ""), _NONE))
        for name, key in names.items()
        if name.startswith(DECODER) and ".output." in name and ".attention." not in name
    )
    return "pre-trained" if same else "vqa"


def convert_blip(source: Source, model: KnowLIP, antialias: bool = False) -> Conversion:
    """Weights of a BLIP for the whole model.

    Args:
        source: the file.
        model: VQA weights need `text.tie_decoder` False, all others True or, but for captions, False.
        antialias: of :func:`knowlip.models.patch.resize_positions`.

    Raises:
        ValueError: no BLIP, another size or kind, or tensors left over on either side.
    """
    names = blip_names(source)
    kind, tie = blip_kind(source, names), model.config.text.tie_decoder
    if kind == "vqa" and tie:
        raise ValueError(f"{source.path} has a decoder of its own (VQA): set model.text.tie_decoder to False.")
    if kind == "caption" and not tie:
        raise ValueError(f"{source.path} has no encoder (captioning): set model.text.tie_decoder to True.")
    stack = DECODER if kind == "caption" else ENCODER
    text = {name.removeprefix(stack): key for name, key in names.items() if name.startswith(stack)}
    said = check_text(source, text, model, source.config.get("text_config", {}))
    ledger = WeightLedger(source, model, [""], f"BLIP, {kind}")
    heads = int(model.visual_encoder.blocks[0].attn.num_heads)  # type: ignore[index, union-attr]
    of_vision = check_heads(source, "vision", heads, "model.vision.changes to {{num_heads: {}}}")
    ledger.report.notes += [said, of_vision]
    copies = (key for name, key in names.items() if _MOMENTUM.match(name))
    ledger.drop(copies, "momentum copy: made anew from the weights")
    ledger.drop((key for name, key in names.items() if _QUEUE.match(name)), "queue of features")
    ledger.drop((key for name, key in names.items() if name.endswith("position_ids")), "a constant")
    tower = {name.removeprefix(OURS): key for name, key in names.items() if name.startswith(OURS)}
    place_tower(ledger, model, tower, *CLIP, antialias)
    for ours in ledger.wanted:
        if not ours.startswith(OURS):
            _place(ledger, ours, names, kind)
    _drop_shared(ledger, names)
    return ledger.close()


def _place(ledger: WeightLedger, ours: str, names: dict[str, str], kind: Kind) -> None:
    """Fill one tensor of the text stack or the heads."""
    if ours.startswith(ENCODER) and kind == "caption":
        name = f"{DECODER}{ours.removeprefix(ENCODER)}"
        if ".attention." in ours:
            return ledger.keep_new([ours], "captioning weights have no encoder, whose self-attention is its own")
    elif ours.startswith("text_decoder."):
        # Salesforce wraps the decoder's transformer in `bert`, but not its language-model head.
        if ours.startswith(f"text_decoder.{OF_READOUT}"):
            return ledger.keep_new([ours], "BLIP reads no readout")
        if kind == "retrieval":
            return ledger.keep_new([ours], "retrieval weights have no decoder")
        name = ours if ours.startswith(HEAD) else f"{DECODER}{ours.removeprefix('text_decoder.')}"
    else:
        name = ours
        head = ours.split(".")[0]
        if not any(name.split(".")[0] == head for name in names):
            return ledger.keep_new([ours], f"{kind} weights have no such head")
    key = names.get(name, name)
    if reads := re.match(r"text_decoder\.(.*\.crossattention\.self\.(key|value)\.)", ours):
        weight = ledger.source.get(names.get(f"{DECODER}{reads[1]}weight", ""))
        if weight is not None and weight.shape != ledger.wanted[f"text_decoder.{reads[1]}weight"].shape:
            return ledger.keep_new(
                [ours], "the file's decoder reads image tokens, this one text states of another width"
            )
    if name.endswith("embeddings.word_embeddings.weight"):
        place_words(ledger, ours, key)
    elif name == f"{HEAD}predictions.decoder.bias":
        place_words(ledger, ours, names.get(name, names.get(f"{HEAD}predictions.bias", key)))
    elif name.endswith("embeddings.position_embeddings.weight"):
        place_positions(ledger, ours, key)
    else:
        ledger.copy(ours, key)
    return None


def _drop_shared(ledger: WeightLedger, names: dict[str, str]) -> None:
    """Leave aside what the file stores twice, having looked that it is the same."""
    state = ledger.source
    left = set(ledger.left())
    for name, key in names.items():
        same = None
        if name == f"{HEAD}predictions.decoder.weight":
            same = names[f"{DECODER}embeddings.word_embeddings.weight"]
        elif name == f"{HEAD}predictions.bias":
            same = names.get(f"{HEAD}predictions.decoder.bias")
        elif name.startswith(DECODER):
            same = names.get(f"{ENCODER}{name.removeprefix(DECODER)}")
        if key not in left or same is None:
            continue
        if not torch.equal(state[key], state[same]):
            raise ValueError(f"{ledger.report.source}: {key} differs from {same}, in this model they are one tensor.")
        ledger.drop([key], "stored twice: shared by encoder, decoder and words")
