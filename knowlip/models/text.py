"""The text transformer: BERT with optional cross-attention, and the decoder that shares all but its self-attention
(`tie_decoder`; else it shares nothing).

Parameter names are those of BERT and BLIP (`embeddings.word_embeddings`, `encoder.layer.i.attention.self.query`,
`crossattention`, `intermediate`, `output`, `cls.predictions`), so that published weights load key for key. The layout
is that of Salesforce's BLIP `med.py`: post-layer-norm, cross-attention between self-attention and MLP in every layer.

Shapes: B batch, T text tokens, N memory tokens (image patches, or the encoder's states), D width, H heads.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from knowlip.models.config import TextConfig

KeyValue = tuple[Tensor, Tensor]
"""Keys and values split into heads, each (B, H, N, D / H)."""


class Heads(nn.Module):
    """Query, key and value projections and scaled-dot-product attention (BERT's `self` module)."""

    def __init__(self, width: int, heads: int, memory_width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(memory_width, width)
        self.value = nn.Linear(memory_width, width)

    def split(self, x_BND: Tensor) -> Tensor:
        return x_BND.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def key_values(self, m_BND: Tensor) -> KeyValue:
        """Project a memory to keys and values once, for every query that will read it."""
        return self.split(self.key(m_BND)), self.split(self.value(m_BND))

    def forward(self, x_BTD: Tensor, memory: KeyValue, mask: Tensor | None, causal: bool = False) -> Tensor:
        key, value = memory
        out = F.scaled_dot_product_attention(
            self.split(self.query(x_BTD)),
            key,
            value,
            attn_mask=mask,
            is_causal=causal,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return out.transpose(1, 2).flatten(2)


class AddNorm(nn.Module):
    """Dense, dropout, residual, layer norm (BERT's `output` modules)."""

    def __init__(self, width_in: int, width: int, dropout: float) -> None:
        super().__init__()
        self.dense = nn.Linear(width_in, width)
        self.LayerNorm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + residual)


class Attention(nn.Module):
    """Attention with its output: `self` + `output`."""

    def __init__(self, config: TextConfig, memory_width: int | None = None) -> None:
        super().__init__()
        self.self = Heads(config.width, config.heads, memory_width or config.width, config.dropout)
        self.output = AddNorm(config.width, config.width, config.dropout)

    def forward(self, x_BTD: Tensor, memory: KeyValue, mask: Tensor | None, causal: bool = False) -> Tensor:
        return self.output(self.self(x_BTD, memory, mask, causal), x_BTD)


class Intermediate(nn.Module):
    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.mlp_width)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.dense(x))


class TextLayer(nn.Module):
    """Self-attention, cross-attention where a memory is given, MLP."""

    def __init__(self, config: TextConfig, memory_width: int) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.crossattention = Attention(config, memory_width)
        self.intermediate = Intermediate(config)
        self.output = AddNorm(config.mlp_width, config.width, config.dropout)

    def forward(
        self,
        x_BTD: Tensor,
        mask: Tensor | None,
        memory: KeyValue | None,
        memory_mask: Tensor | None,
        past: KeyValue | None = None,
        causal: bool = False,
        first_only: bool = False,
    ) -> tuple[Tensor, KeyValue]:
        """Returns the states (B, T, D), or of the first token alone (B, 1, D), and the self-attention's keys and
        values, for step-wise decoding."""
        present = self.attention.self.key_values(x_BTD)
        if past is not None:
            present = torch.cat([past[0], present[0]], 2), torch.cat([past[1], present[1]], 2)
        if first_only:
            x_BTD = x_BTD[:, :1]
        x_BTD = self.attention(x_BTD, present, mask, causal)
        if memory is not None:
            x_BTD = self.crossattention(x_BTD, memory, memory_mask)
        return self.output(self.intermediate(x_BTD), x_BTD), present


class Embeddings(nn.Module):
    """Word + learned position embeddings, layer norm, dropout."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.width, padding_idx=0)
        self.position_embeddings = nn.Embedding(config.max_length, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, ids_BT: Tensor, start: int = 0) -> Tensor:
        positions = torch.arange(start, start + ids_BT.shape[1], device=ids_BT.device)
        return self.dropout(self.LayerNorm(self.word_embeddings(ids_BT) + self.position_embeddings(positions)))


class Stack(nn.Module):
    """A list of layers under BERT's name `layer`."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layer = nn.ModuleList(layers)
        self.checkpointing = False
        """Keep only the input of each layer for the backward pass and compute the rest anew there."""

    def run(self, index: int, *inputs: Any) -> tuple[Tensor, KeyValue]:
        """Call one layer, see :meth:`TextLayer.forward`."""
        layer = self.layer[index]
        if self.checkpointing and torch.is_grad_enabled():
            return checkpoint(layer, *inputs, use_reentrant=False)
        return layer(*inputs)


def attention_mask(keep_BN: Tensor) -> Tensor:
    """Boolean (B, N) mask of real tokens -> (B, 1, 1, N) mask for scaled-dot-product attention (True = attend)."""
    return keep_BN[:, None, None, :]


def first_holes(ids_BT: Tensor, mask_id: int) -> Tensor:
    """Place (B,) of each text's first [MASK]; of its first token where there is none (a question)."""
    return (ids_BT == mask_id).int().argmax(1)


def rows_of(memory: Sequence[KeyValue], rows: Tensor) -> list[KeyValue]:
    """Keys and values of these rows, in this order; a row may be taken more than once."""
    return [(key.index_select(0, rows), value.index_select(0, rows)) for key, value in memory]


class TextEncoder(nn.Module):
    """Reads text alone (for the contrastive loss) or grounded in an image (for matching and infilling).

    Args:
        config: sizes.
        memory_width: width of the image tokens.
    """

    def __init__(self, config: TextConfig, memory_width: int) -> None:
        super().__init__()
        self.config = config
        self.embeddings = Embeddings(config)
        self.encoder = Stack([TextLayer(config, memory_width) for _ in range(config.layers)])

    def image_key_values(self, tokens_BNV: Tensor) -> list[KeyValue]:
        """Keys and values of the image tokens for each layer's cross-attention; computed once, read by many texts."""
        return [layer.crossattention.self.key_values(tokens_BNV) for layer in self.encoder.layer]  # type: ignore[union-attr, operator]

    def forward(
        self, ids_BT: Tensor, keep_BT: Tensor, memory: Sequence[KeyValue] | None = None, first_only: bool = False
    ) -> Tensor:
        """Encode token ids.

        Args:
            ids_BT: token ids.
            keep_BT: True on real tokens, False on padding.
            memory: of :meth:`image_key_values`, or None to read the text alone.
            first_only: the state of the first token is all that is wanted: the last layer computes no other.

        Returns:
            States (B, T, D), or (B, 1, D).
        """
        x_BTD, mask = self.embeddings(ids_BT), attention_mask(keep_BT)
        for i in range(self.config.layers):
            last = i == self.config.layers - 1
            x_BTD, _ = self.encoder.run(
                i, x_BTD, mask, memory[i] if memory is not None else None, None, None, False, first_only and last
            )
        return x_BTD


def share_all_but_self_attention(layer: TextLayer, shared: TextLayer, whole: bool) -> None:
    """Make a decoder's layer use the encoder's modules; of the cross-attention all (`whole`), or all but the
    projections of what is read."""
    if whole:
        layer.crossattention = shared.crossattention
    else:
        layer.crossattention.self.query = shared.crossattention.self.query
        layer.crossattention.output = shared.crossattention.output
    layer.intermediate, layer.output = shared.intermediate, shared.output


class TextDecoder(nn.Module):
    """Writes a hole's tokens left to right, attending to the image-grounded encoder's states.

    Tied (`config.tie_decoder`), it shares embeddings, cross-attention and MLPs with the encoder; its self-attention is
    its own, as in BLIP. Where image and text widths differ, its cross-attention reads text states by keys and values of
    its own; a decoder that reads the image (`config.decoder_reads`) uses the encoder's whatever the widths. Untied, all
    is its own, as in BLIP's VQA model.
    """

    def __init__(self, encoder: TextEncoder, memory_width: int, recalls: bool = False) -> None:
        super().__init__()
        config = encoder.config
        self.recall = Attention(config, memory_width) if recalls else None
        """A last attention to what the readout of the image knows, right before words are chosen: to copy an answer
        needs one look instead of a way through all layers."""
        self.embeddings = encoder.embeddings if config.tie_decoder else Embeddings(config)
        layers = [TextLayer(config, config.width) for _ in range(config.layers)]
        if config.tie_decoder:
            whole = memory_width == config.width or config.decoder_reads == "image"
            for layer, shared in zip(layers, encoder.encoder.layer):
                share_all_but_self_attention(layer, shared, whole)  # type: ignore[arg-type]
        elif config.decoder_reads == "image":
            raise ValueError('text.decoder_reads "image" needs text.tie_decoder: the encoder projects the image.')
        self.encoder = Stack(layers)
        self.cls = Predictions(self.embeddings.word_embeddings, config.width)

    def state_key_values(self, states_BTD: Tensor) -> list[KeyValue]:
        """Keys and values of the encoder's states for each layer's cross-attention."""
        return [layer.crossattention.self.key_values(states_BTD) for layer in self.encoder.layer]  # type: ignore[union-attr, operator]

    def forward(
        self,
        ids_BT: Tensor,
        memory: Sequence[KeyValue],
        memory_keep_BN: Tensor,
        past: list[KeyValue] | None = None,
        hole_BD: Tensor | None = None,
    ) -> tuple[Tensor, list[KeyValue]]:
        """Next-token states.

        Args:
            ids_BT: the tokens so far, or only the newest one when `past` holds the others. Padding may stand on the
                right only: causality keeps real tokens from seeing it.
            memory: of :meth:`state_key_values`, and behind it that of `recall` where there is one; a plain causal
                language model takes that of :meth:`Towers.image_key_values` instead.
            memory_keep_BN: True on the real tokens of the memory.
            past: keys and values returned by the previous call (then `ids_BT` must hold exactly one new token).
            hole_BD: of :func:`hole_state`, added to the first token's embedding; of no use when `past` is given.

        Returns:
            States (B, T, D), to be turned into logits by `self.cls`, and the keys and values for the next call.
        """
        start = past[0][0].shape[2] if past else 0
        x_BTD, memory_mask = self.embeddings(ids_BT, start), attention_mask(memory_keep_BN)
        if hole_BD is not None and past is None:
            x_BTD = torch.cat([x_BTD[:, :1] + hole_BD[:, None], x_BTD[:, 1:]], 1)
        present = []
        for i in range(len(self.encoder.layer)):
            before = past[i] if past else None
            x_BTD, key_value = self.encoder.run(i, x_BTD, None, memory[i], memory_mask, before, past is None)
            present.append(key_value)
        if self.recall is not None:
            assert len(memory) == len(self.encoder.layer) + 1, "memory of Towers.image_key_values is needed"
            x_BTD = self.recall(x_BTD, memory[-1], None)
        return x_BTD, present


class Predictions(nn.Module):
    """BERT's language-model head: dense, GELU, layer norm, then the word embeddings transposed plus a bias."""

    def __init__(self, words: nn.Embedding, width: int) -> None:
        super().__init__()
        self.predictions = nn.Module()
        self.predictions.transform = nn.Module()
        self.predictions.transform.dense = nn.Linear(width, width)
        self.predictions.transform.LayerNorm = nn.LayerNorm(width, eps=1e-12)
        self.predictions.decoder = nn.Linear(width, words.num_embeddings)
        self.predictions.decoder.weight = words.weight

    def forward(self, x: Tensor) -> Tensor:
        """States (..., D) -> logits (..., vocabulary)."""
        head = self.predictions
        return head.decoder(head.transform.LayerNorm(F.gelu(head.transform.dense(x))))  # type: ignore[union-attr, operator]
