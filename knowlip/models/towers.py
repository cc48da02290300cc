"""KnowLIP: a ViT and a text transformer that compare (ITC), match (ITM) and write (infilling).

Source: arXiv 2509.23927 section 3.3 in the wiring of BLIP (`blip_pretrain.py`, `blip_vqa.py`). One generative
formulation serves masked modelling, captioning, questions and SCIO's reconstruction: the encoder reads text with one
[MASK] hole and the image, the decoder writes the hole.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from knowlip.models.card import ModelCard
from knowlip.models.config import ModelConfig
from knowlip.models.map_tower import MapTower
from knowlip.models.readout import Answers, Readout
from knowlip.models.stem import Stem
from knowlip.models.text import KeyValue, TextDecoder, TextEncoder, first_holes, rows_of
from knowlip.models.tokenizer import TextTokenizer, around_hole, pad
from knowlip.models.vision import image_tower, summary_token


class Towers(nn.Module):
    """Both towers and what they compute.

    Shapes: B batch, N image tokens, V image width, D text width, E embedding width, T text tokens.

    Args:
        config: sizes of both towers.
        tokenizer: must have `config.text.vocab_size` entries.
    """

    def __init__(self, config: ModelConfig, tokenizer: TextTokenizer) -> None:
        super().__init__()
        if len(tokenizer) != config.text.vocab_size:
            raise ValueError(
                f"The tokenizer has {len(tokenizer)} entries but the model is set to {config.text.vocab_size}: "
                "set text.vocab_size to the tokenizer's size."
            )
        if config.text.width % config.text.heads:
            raise ValueError(f"text.width {config.text.width} must be a multiple of text.heads {config.text.heads}.")
        self.config, self.tokenizer = config, tokenizer
        self.card: ModelCard = {}
        """Facts saved beside the weights, see :mod:`knowlip.models.checkpoint`."""
        self.folder: Path | None = None
        """Where it was loaded from; None of one that was made."""
        vision = config.vision
        if vision.ground_sampling and not vision.stem:
            raise ValueError("model.vision.ground_sampling needs a stem, which is told: set model.vision.stem.")
        self.stem = Stem(vision.stem, vision.stem_blocks, vision.ground_sampling) if vision.stem else None
        self.visual_encoder = image_tower(config.vision)
        if config.readout and isinstance(self.visual_encoder, MapTower):
            raise ValueError(
                f"model.readout stands on a Vision Transformer, and {vision.name} is none: set it to false."
            )
        vision_width = int(self.visual_encoder.num_features)  # type: ignore[arg-type]
        self.text_encoder = TextEncoder(config.text, vision_width)
        self.text_decoder = TextDecoder(self.text_encoder, vision_width, config.readout)
        self.vision_proj = nn.Linear(vision_width, config.embed_dim)
        self.text_proj = nn.Linear(config.text.width, config.embed_dim)
        self.itm_head = nn.Linear(config.text.width, 2)
        self.readout = (
            Readout(vision_width, config.vision.stem or vision_width, questions=config.readout_questions)
            if config.readout
            else None
        )
        self.readout_proj = (
            nn.Linear(self.readout.summary_width, config.embed_dim, bias=False) if self.readout is not None else None
        )
        self.temp = nn.Parameter(torch.tensor(config.temperature))
        std = 0.02 * (768 / config.text.width) ** 0.5
        for module in (self.text_encoder, self.text_decoder, self.vision_proj, self.text_proj, self.itm_head):
            module.apply(partial(_init_bert, std=std))

    @property
    def device(self) -> torch.device:
        return self.temp.device

    def checkpoint_activations(self, on: bool = True) -> None:
        """Keep only the input of each layer of both towers for the backward pass, and compute the rest anew there:
        about a third more compute for a fraction of the memory. Losses and gradients stay the same."""
        self.visual_encoder.set_grad_checkpointing(on)  # type: ignore[operator]
        self.text_encoder.encoder.checkpointing = self.text_decoder.encoder.checkpointing = on

    # ---- images -------------------------------------------------------------------------------------------------

    def prepare(self, images: Sequence[np.ndarray]) -> Tensor:
        """8-bit tiles (H, W) of any size -> pixels (B, 1, S, S), resized with antialiasing and normalised."""
        vision = self.config.vision
        small = np.stack([resize(image, vision.image_size) for image in images])
        return self.normalise(torch.from_numpy(small).to(self.device))

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (B, S, S) -> float (B, 1, S, S)."""
        vision = self.config.vision
        return (pixels[:, None].float() / 255 - vision.mean) / vision.std

    def encode_images(self, pixels: Tensor, width_m_B: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Pixels -> tokens (B, N, V) and the normalised embedding (B, E).

        Args:
            pixels: (B, 1, S, S).
            width_m_B: width of each image on the ground in metres; NaN, or None for all, where it is not known. Read
                by models that are told the ground sampling (`vision.ground_sampling`), passed over by others.
        """
        return self.look(pixels, width_m_B)[:2]

    def look(self, pixels: Tensor, width_m_B: Tensor | None = None) -> tuple[Tensor, Tensor, Answers | None]:
        """The same, and the answers of the readout where the model has one.

        Tokens are the class token and other prefix tokens of the ViT, the memory tokens of the readout, the patches.
        """
        metres_B = None if width_m_B is None else width_m_B / pixels.shape[-1]
        if pixels.dtype != self.temp.dtype and not torch.is_autocast_enabled(pixels.device.type):
            if self.readout is not None:
                check_readout_dtype(self.temp.dtype)
            pixels = pixels.to(self.temp.dtype)
        fine = self.stem(pixels, metres_B) if self.stem is not None else None
        tokens_BNV = self.visual_encoder(pixels if fine is None else fine)
        summary_BV = summary_token(self.visual_encoder, tokens_BNV)
        embedding, answers = self.vision_proj(summary_BV), None
        if self.readout is not None and self.readout_proj is not None:
            prefix = int(self.visual_encoder.num_prefix_tokens)  # type: ignore[arg-type]
            patches = tokens_BNV[:, prefix:]
            if fine is None:
                side = round(patches.shape[1] ** 0.5)
                fine = patches.transpose(1, 2).unflatten(2, (side, side))
            answers, memory, said = self.readout(fine, patches, summary_BV, width_m_B)
            tokens_BNV = torch.cat([tokens_BNV[:, :prefix], memory, patches], 1)
            embedding = embedding + self.readout_proj(said)
        return tokens_BNV, F.normalize(_full(embedding), dim=-1), answers

    # ---- text, from token ids -------------------------------------------------------------------------------------

    def embed_ids(self, ids_BT: Tensor, keep_BT: Tensor) -> Tensor:
        """Normalised text embedding (B, E) of [CLS]-framed ids, read without an image."""
        states = self.text_encoder(ids_BT, keep_BT, first_only=True)
        return F.normalize(_full(self.text_proj(states[:, 0])), dim=-1)

    def match_ids(self, ids_BT: Tensor, keep_BT: Tensor, memory: Sequence[KeyValue]) -> Tensor:
        """Matching logits (B, 2) of [ENC]-framed ids read with images; index 1 says that they belong together."""
        return _full(self.itm_head(self.text_encoder(ids_BT, keep_BT, memory, first_only=True)[:, 0]))

    # ---- text, from strings (evaluation and use) --------------------------------------------------------------------

    def frame(self, texts: Sequence[str], grounded: bool) -> tuple[Tensor, Tensor]:
        """Tokenise, frame and pad texts: ids and mask (B, T)."""
        longest = self.config.text.max_length
        tokenizer = self.tokenizer
        return pad([tokenizer.frame(tokenizer.ids(text), longest, grounded) for text in texts], self.device)

    def decoder_input(
        self,
        ids_BT: Tensor,
        keep_BT: Tensor,
        memory: Sequence[KeyValue],
        holes: tuple[Tensor | None, Tensor] | None = None,
    ) -> tuple[list[KeyValue], Tensor, Tensor | None]:
        """Read [ENC]-framed text with images; what the decoder attends to, and the hole that it starts from.

        Args:
            ids_BT, keep_BT: text with holes, or a question; mask of real tokens.
            memory: image keys and values of :meth:`TextEncoder.image_key_values`, one row a text.
            holes: of R holes the text that each is in (R,), None where it is one a text in order, and its [MASK]'s
                place there (R,). By default the first [MASK] of each text.

        Returns:
            Keys and values per layer, mask of what is real in them, and state of the hole, one row a hole.

        Raises:
            ValueError: the decoder reads the image alone (`text.decoder_reads` is "image").
        """
        read, keep, states = self.context_input(ids_BT, keep_BT, memory)
        row_R, place_R = holes or (None, first_holes(ids_BT, self.tokenizer.mask))
        if row_R is None:
            row_R = torch.arange(len(ids_BT), device=ids_BT.device)
        else:
            read, keep = rows_of(read, row_R), keep.index_select(0, row_R)
        return read, keep, states[row_R, place_R] if self.config.text.start_at_hole else None

    def context_input(
        self, ids_BT: Tensor, keep_BT: Tensor, memory: Sequence[KeyValue]
    ) -> tuple[list[KeyValue], Tensor, Tensor]:
        """Read [ENC]-framed text with images, whatever holes it has; arguments as of :meth:`decoder_input`.

        Returns:
            Keys and values per layer for the decoder, mask of what is real in them, and all states (B, T, D).

        Raises:
            ValueError: the decoder reads the image alone (`text.decoder_reads` is "image").
        """
        if self.config.text.decoder_reads == "image":
            raise ValueError('This model\'s decoder reads no text, it only captions (text.decoder_reads is "image").')
        states = self.text_encoder(ids_BT, keep_BT, memory)
        read, keep = self.text_decoder.state_key_values(states), keep_BT
        if self.config.text.decoder_reads == "both":
            # One space of heads: the image's keys and values of the encoder's layers serve the decoder's as well.
            read = [(torch.cat([k, ki], 2), torch.cat([v, vi], 2)) for (k, v), (ki, vi) in zip(read, memory)]
            keep = torch.cat([keep, keep.new_ones(len(keep), memory[0][0].shape[2])], 1)
        return [*read, *memory[self.config.text.layers :]], keep, states

    def image_key_values(self, tokens_BNV: Tensor) -> list[KeyValue]:
        """Keys and values of image tokens: one pair a layer of the encoder, and one of what the readout knows for the
        decoder's last attention where the model has a readout. Computed once, read by many texts."""
        memory = self.text_encoder.image_key_values(tokens_BNV)
        if self.readout is not None and self.text_decoder.recall is not None:
            prefix = int(self.visual_encoder.num_prefix_tokens)  # type: ignore[arg-type]
            known = tokens_BNV[:, prefix : prefix + self.readout.tokens]
            memory.append(self.text_decoder.recall.self.key_values(known))
        return memory

    def lm_input(self, tokens_BNV: Tensor) -> tuple[list[KeyValue], Tensor]:
        """What the decoder attends to as a plain causal language model (BLIP's captioning; an ablation): the image.

        Returns:
            Image keys and values per layer, and the mask (B, N) that keeps all of them.
        """
        keep = torch.ones(tokens_BNV.shape[:2], dtype=torch.bool, device=tokens_BNV.device)
        return self.image_key_values(tokens_BNV), keep

    def read(
        self, tokens_BNV: Tensor, prompts: Sequence[str], holes: Sequence[int] | None = None
    ) -> tuple[list[KeyValue], Tensor, Tensor | None]:
        """What the decoder attends to: the encoder's states of each prompt ("" = one hole) read with its image.

        Args:
            tokens_BNV, prompts: one row a prompt.
            holes: which [MASK] of each prompt is meant, from 0; the first by default.

        Returns:
            The decoder's memory per layer, the mask (B, T) of what is real in it, and the state of the hole.

        Raises:
            ValueError: a prompt for a model that only captions (`text.decoder_reads` is "image"), or with fewer [MASK]
                than the number of its hole asks for.
        """
        if self.config.text.decoder_reads == "image":
            if any(prompts):
                raise ValueError('This model only writes captions: give no prompt (text.decoder_reads is "image").')
            return *self.lm_input(tokens_BNV), None
        texts = [prompt or "[MASK]" for prompt in prompts]
        if holes is None:
            ids, keep = self.frame(texts, grounded=True)
            places = None
        else:
            ids, keep, place_B = self._around_holes(texts, holes)
            places = None, place_B
        return self.decoder_input(ids, keep, self.image_key_values(tokens_BNV), places)

    def _around_holes(self, texts: Sequence[str], holes: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Framed ids and mask (B, T), and the place of each text's hole in them (B,); a text that is too long keeps the
        part around its hole."""
        tokenizer, longest = self.tokenizer, self.config.text.max_length
        framed, places = [], []
        for text, number in zip(texts, holes, strict=True):
            ids = tokenizer.ids(text)
            masks = [place for place, token in enumerate(ids) if token == tokenizer.mask]
            if len(masks) <= number:
                raise ValueError("A prompt has fewer [MASK] than the number of its hole asks for.")
            part, place = around_hole(ids, masks[number], longest - 2)
            framed.append(tokenizer.frame(part, longest, grounded=True))
            places.append(1 + place)
        return *pad(framed, self.device), torch.tensor(places, device=self.device)


def resize(image: np.ndarray, size: int) -> np.ndarray:
    """8-bit image (H, W) -> (size, size), antialiased when it gets smaller."""
    if image.ndim != 2 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"An image must be a two-dimensional uint8 array, not {image.dtype} of shape {image.shape}.")
    if image.shape == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def check_readout_dtype(dtype: torch.dtype) -> None:
    """Refuse weights in which the readout does not compute: its probabilities are summed in float32.

    Raises:
        ValueError: they are.
    """
    if dtype != torch.float32:
        kind = str(dtype).removeprefix("torch.")
        raise ValueError(
            f"A model with a readout computes in float32, and its weights are {kind}: load it without a dtype or call "
            "float(); torch.autocast around the calls gives half precision."
        )


def _full(x: Tensor) -> Tensor:
    """float32 or better, whatever autocast made of it."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _init_bert(module: nn.Module, std: float) -> None:
    """BERT's initialisation: normal, zero bias, unit layer norms.

    BERT's 0.02 belongs to a width of 768; narrower models get the same scale of activations from a larger one, and
    learn from the first step instead of after a long plateau.
    """
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=std)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx].zero_()
