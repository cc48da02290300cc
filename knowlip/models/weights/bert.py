"""BERT and what has its layout (MiniLM of sentence-transformers, domain BERTs): the text tower's starting point.

Names are BERT's with or without the prefix `bert.`, layer norms as `weight`/`bias` or, in the oldest files, as
`gamma`/`beta`; with or without pooler and language-model head. Encoder and decoder both start from them, as in BLIP;
cross-attention is new.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from knowlip.models.knowlip import KnowLIP
from knowlip.models.special import EXTRA, SPECIAL
from knowlip.models.tokenizer import TextTokenizer, read_vocabulary
from knowlip.models.weights.heads import check_heads
from knowlip.models.weights.ledger import Conversion, WeightLedger
from knowlip.models.weights.source import Source

_WORDS = "embeddings.word_embeddings.weight"
_HEAD = "cls.predictions."
OF_READOUT = "recall."
"""Of the decoder: its attention to what the readout knows (`model.readout`), which no other project has."""
_SMALL = 20000
"""Published BERTs have more words."""


def bert_names(source: Source) -> dict[str, str]:
    """BERT's present names without prefix -> names of the file.

    Raises:
        ValueError: the file holds no BERT.
    """
    found = [key.removesuffix(_WORDS) for key in source.state if re.search(rf"(^|\.){re.escape(_WORDS)}$", key)]
    if not found:
        first = next(iter(source.state))
        raise ValueError(
            f"{source.path} holds no BERT (no {_WORDS}, with or without `bert.`); its first tensor is {first}."
        )
    if len(found) > 1:
        raise ValueError(f"{source.path} holds {len(found)} text towers ({', '.join(found)}): save one of them alone.")
    (prefix,) = found
    kinds = source.state.get(f"{prefix}embeddings.token_type_embeddings.weight")
    model = source.config.get("text_config", source.config).get("model_type", "bert")
    if (
        "roberta" in prefix
        or model not in ("bert", "blip", "blip_text_model")
        or (kinds is not None and len(kinds) < 2)
    ):
        raise ValueError(f"{source.path} holds no BERT but a RoBERTa or another kin, which counts positions otherwise.")
    # The language-model head stands beside `bert.`, not in it; what stands outside the whole model is dropped.
    outer = prefix.removesuffix("bert.")
    names = {}
    for key in source.state:
        if key.startswith(outer):
            name = key.removeprefix(outer).removeprefix(prefix.removeprefix(outer))
            name = re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name)
            names[re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name)] = key
    return names


def convert_bert(source: Source, model: KnowLIP) -> Conversion:
    """Weights of a BERT for the text encoder and decoder.

    Token types do not exist here: the embedding of type 0, which every token of a single text has, is added to the
    position embeddings. Positions behind `text.max_length` are cut off.

    Raises:
        ValueError: no BERT, another size, another vocabulary, or tensors left over on either side.
    """
    names = bert_names(source)
    said = check_text(source, names, model, source.config)
    ledger = WeightLedger(source, model, ("text_encoder.", "text_decoder."), "BERT")
    ledger.report.notes.append(said)
    has_head = f"{_HEAD}transform.dense.weight" in names
    for ours in ledger.wanted:
        name = re.sub(r"^text_(encoder|decoder)\.", "", ours)
        if ".crossattention." in name:
            ledger.keep_new([ours], "BERT has no cross-attention")
        elif name.startswith(OF_READOUT):
            ledger.keep_new([ours], "BERT reads no readout")
        elif name.startswith("cls.") and not has_head:
            ledger.keep_new([ours], "the file has no language-model head")
        elif name == _WORDS or name == f"{_HEAD}decoder.bias":
            place_words(ledger, ours, names.get(name, names.get(f"{_HEAD}bias", name)))
        elif name == "embeddings.position_embeddings.weight":
            kinds = names.get("embeddings.token_type_embeddings.weight")
            place_positions(ledger, ours, names.get(name, name), kinds)
        else:
            ledger.copy(ours, names.get(name, name))
    _drop_rest(ledger, names)
    ledger.drop(sorted(source.state.keys() - set(names.values())), "not the text tower")
    return ledger.close()


def place_words(ledger: WeightLedger, ours: str, theirs: str) -> None:
    """Fill a tensor with a row a word; [DEC] and [ENC] behind the file's words stay new."""
    if theirs not in ledger.source:
        raise ValueError(f"{ledger.report.source} lacks {theirs}, which the model needs for {ours}.")
    words, own = ledger.source[theirs], ledger.wanted[ours]
    if len(words) + len(EXTRA) == len(own):
        words = torch.cat([words.float(), own[-len(EXTRA) :].float().cpu()])
        ledger.report.resized[ours] = f"{len(own) - len(EXTRA)} -> {len(own)} words: {' and '.join(EXTRA)} are new"
    ledger.put(ours, words, theirs)


def place_positions(ledger: WeightLedger, ours: str, theirs: str, token_types: str | None = None) -> None:
    """Fill position embeddings with the first rows of the file's, the embedding of token type 0 added."""
    if theirs not in ledger.source:
        raise ValueError(f"{ledger.report.source} lacks {theirs}, which the model needs for {ours}.")
    positions, wanted = ledger.source[theirs].float(), len(ledger.wanted[ours])
    if len(positions) < wanted:
        raise ValueError(
            f"{ledger.report.source} has {len(positions)} positions: set text.max_length to at most that, not {wanted}."
        )
    if len(positions) > wanted:
        ledger.report.resized[ours] = f"the first {wanted} of {len(positions)} positions"
    positions = positions[:wanted]
    if token_types is not None:
        positions = positions + ledger.source[token_types][0].float()
        ledger.report.folded[ours] = "token type 0; the others are not used"
        ledger.use(token_types)
    ledger.put(ours, positions, theirs)


def check_text(source: Source, names: dict[str, str], model: KnowLIP, config: Mapping[str, Any]) -> str:
    """Refuse a text stack of another size or kind by the setting that would have to change.

    Args:
        source: the file.
        names: BERT's names -> the file's.
        model: what is to be filled.
        config: BERT's part of the `config.json` beside the file: it knows what the shapes do not tell.

    Returns:
        Who says how many heads there are, for the report.
    """
    text, found = model.config.text, text_sizes(source.state, names)
    for setting in ("width", "layers", "mlp_width"):
        if getattr(text, setting) != found[setting]:
            raise ValueError(
                f"{source.path} has text {setting} {found[setting]}, the model {getattr(text, setting)}: "
                f"set model.text.{setting} to {found[setting]}."
            )
    _check_words(source, model.tokenizer, found["vocab_size"])
    known: dict[str, object] = {
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "position_embedding_type": "absolute",
    }
    for key, needed in known.items():
        if config.get(key, needed) != needed:
            raise ValueError(f"{source.path} has {key} {config[key]}, the model {needed}.")
    return check_heads(source, "text", text.heads, "model.text.heads to {}")


def _check_words(source: Source, tokenizer: TextTokenizer, rows: int) -> None:
    """Refuse a tokenizer with other words than the file's rows stand for: as many are not enough."""
    vocabulary = Path(source.path).with_name("vocab.txt")
    same = len(tokenizer) - rows in (0, len(EXTRA))
    if same and vocabulary.is_file():
        words = read_vocabulary(vocabulary)
        known = tokenizer.tokenizer.get_vocab()
        same = all(known.get(word) == place for place, word in enumerate(words))
    elif same and rows > _SMALL:  # a vocabulary trained on the data set begins with the special tokens
        same = tokenizer.mask >= len(SPECIAL)
    if not same:
        raise ValueError(
            f"{source.path} was trained with another vocabulary ({rows} words) than the model's tokenizer has "
            f"({len(tokenizer)}): give the file's own vocab.txt as vocabulary, and keep it beside the file."
        )


def text_sizes(state: dict[str, Tensor], names: dict[str, str]) -> dict[str, int]:
    """Sizes of a BERT from its shapes (the number of heads is not among them)."""
    vocab_size, width = state[names[_WORDS]].shape
    if "embeddings.position_embeddings.weight" not in names:
        raise ValueError("The file lacks embeddings.position_embeddings.weight of a BERT.")
    layers = {int(found[1]) for name in names if (found := re.match(r"encoder\.layer\.(\d+)\.", name))}
    mlp = names.get("encoder.layer.0.intermediate.dense.weight")
    if mlp is None:
        raise ValueError("The file lacks encoder.layer.0.intermediate.dense.weight of a BERT.")
    return {
        "vocab_size": vocab_size,
        "width": width,
        "layers": len(layers),
        "mlp_width": len(state[mlp]),
        "max_length": len(state[names["embeddings.position_embeddings.weight"]]),
    }


def _drop_rest(ledger: WeightLedger, names: dict[str, str]) -> None:
    """What the text tower has no use for."""
    state = ledger.source
    for name, key in names.items():
        if name.startswith("pooler."):
            ledger.drop([key], "pooler: texts are embedded by their own projection")
        elif name.startswith("cls.seq_relationship."):
            ledger.drop([key], "next-sentence head")
        elif name == "embeddings.position_ids":
            ledger.drop([key], "a constant")
        elif name == f"{_HEAD}decoder.weight":
            if not torch.equal(state[key], state[names[_WORDS]]):
                raise ValueError(f"{ledger.report.source}: {key} differs from the word embeddings, here they are one.")
            ledger.drop([key], "the same as the word embeddings")
        elif name == f"{_HEAD}bias" and f"{_HEAD}decoder.bias" in names:
            if not torch.equal(state[key], state[names[f"{_HEAD}decoder.bias"]]):
                raise ValueError(f"{ledger.report.source}: {key} differs from the bias of the head, here they are one.")
            ledger.drop([key], "the same as the bias of the head")
