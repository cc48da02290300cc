"""Our model with the face of transformers: :class:`knowlip.models.towers.Towers` computes, nothing is written anew."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from knowlip.base.files import whole_file
from knowlip.base.generation import GenerationConfig
from knowlip.models.generate import generate_read
from knowlip.models.hub import WEIGHTS
from knowlip.models.knowlip import KnowLIP
from knowlip.models.layout import check_shapes, numbers_of, unshared
from knowlip.models.text import first_holes
from knowlip.models.tokenizer import TextTokenizer
from knowlip.models.towers import Towers, check_readout_dtype
from knowlip.models.transformers.config import KnowLIPConfig
from knowlip.models.transformers.fetched import fetched, hub_settings

_GENERATION: Final = {
    "max_new_tokens": "max_new_tokens",
    "min_new_tokens": "min_new_tokens",
    "num_beams": "beams",
    "length_penalty": "length_penalty",
    "early_stopping": "early_stop",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "num_return_sequences": "num",
    "no_repeat_ngram_size": "no_repeat_ngram",
    "seed": "seed",
}
"""transformers' name of a setting -> ours."""


@dataclass
class KnowLIPOutput(ModelOutput):
    """What :class:`KnowLIPModel` returns of B images and C texts."""

    loss: Tensor | None = None
    """Symmetric cross-entropy of pairs in order, where it was asked for."""
    logits_per_image: Tensor | None = None
    """(B, C): cosine over temperature."""
    logits_per_text: Tensor | None = None
    text_embeds: Tensor | None = None
    """(C, E), unit length."""
    image_embeds: Tensor | None = None
    """(B, E), unit length."""


class KnowLIPModel(PreTrainedModel):
    """The two towers with contrast, matching and writing.

    Args:
        config: sizes; weights are random.
    """

    config_class = KnowLIPConfig
    base_model_prefix = "model"
    main_input_name = "pixel_values"
    _supports_sdpa = True

    def __init__(self, config: KnowLIPConfig) -> None:
        super().__init__(config)
        self.model = Towers(config.model, config.special_tokens)
        self.post_init()

    def _init_weights(self, module: torch.nn.Module) -> None:
        """Nothing: the towers initialise themselves."""

    @classmethod
    def can_generate(cls) -> bool:
        return True

    # ---- from and to -----------------------------------------------------------------------------------------------

    @classmethod
    def of(cls, model: Towers) -> "KnowLIPModel":
        """A copy of one of our models."""
        made = cls(KnowLIPConfig.of(model.config, model.tokenizer))
        made.model.load_state_dict(model.state_dict())
        return made.to(model.device).train(model.training)

    def plain(self, tokenizer: TextTokenizer) -> KnowLIP:
        """A copy as one of our models, to save and use as such.

        Args:
            tokenizer: of the same words, `processor.tokenizer.plain`.

        Raises:
            ValueError: another tokenizer.
        """
        if self.config.special_ids != KnowLIPConfig.of(self.model.config, tokenizer).special_ids:
            raise ValueError("This tokenizer has other special tokens than the model.")
        made = KnowLIP(self.config.model, tokenizer)
        made.load_state_dict(self.model.state_dict())
        return made.to(self.model.device).train(self.training)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *_: Any, **settings: Any
    ) -> "KnowLIPModel":
        """A model for use (evaluation mode), of a folder or USER/REPO with `config.json` and `model.safetensors`.

        Args:
            pretrained_model_name_or_path: where it lies.
            settings: `config`, `dtype` (float32 where it is not given), `device_map` (one device), and where files are
                fetched from (`revision`, `token`, ...).

        Raises:
            ValueError: a file is missing or broken, weights that do not fit the config, or an unknown setting.
        """
        name = pretrained_model_name_or_path
        hub = hub_settings(settings)
        config = settings.get("config")
        if config is None:
            config = KnowLIPConfig.from_pretrained(name, **hub)
        if not isinstance(config, KnowLIPConfig):
            raise ValueError(f"config must be a KnowLIPConfig, not a {type(config).__name__}.")
        dtype = _dtype(settings.get("dtype", settings.get("torch_dtype")))
        if config.model.readout:
            check_readout_dtype(dtype)
        file = fetched(name, WEIGHTS, hub)
        # Nothing is allocated that the file does not hold; what is no number would make every answer none.
        check_shapes(file, config.model, config.special_tokens)
        weights = numbers_of(file)
        made = cls(config)
        made.model.load_state_dict(weights, strict=False)  # names that are shared are stored once
        return made.eval().to(_device(settings.get("device_map")), dtype)

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], state_dict: Mapping[str, Tensor] | None = None, **_: Any
    ) -> None:
        """Write `config.json` and `model.safetensors`; the processor is saved by itself.

        Args:
            save_directory: folder; made when it is not there.
            state_dict: weights to save instead of the model's own, under the names of its state dict.
        """
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        weights = unshared(self.model)
        if state_dict is not None:
            weights = {name: state_dict[f"{self.base_model_prefix}.{name}"] for name in weights}
        with whole_file(folder / WEIGHTS) as part:
            save_file({name: one.detach().cpu().contiguous() for name, one in weights.items()}, part, {"format": "pt"})
        self.config.architectures = [type(self).__name__]
        self.config.dtype = next(self.parameters()).dtype
        self.config.save_pretrained(folder)

    # ---- what it computes ------------------------------------------------------------------------------------------

    def get_image_features(self, pixel_values: Tensor, width_m: Tensor | None = None) -> Tensor:
        """Embeddings (B, E) of unit length.

        Args:
            pixel_values: (B, 1, S, S).
            width_m: (B,) width on the ground in metres, where it is known.
        """
        return self._looked(pixel_values, width_m)[1]

    def get_text_features(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Embeddings (C, E) of unit length of [CLS]-framed token ids (C, T)."""
        self._check_ids(input_ids)
        return self.model.embed_ids(input_ids, _kept(input_ids, attention_mask))

    def _looked(self, pixel_values: Tensor, width_m: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens and embeddings of pixels that another model's processor has not made.

        Raises:
            ValueError: it has, as their shape says.
        """
        side = self.model.config.vision.image_size
        if pixel_values.ndim != 4 or tuple(pixel_values.shape[1:]) != (1, side, side):
            raise ValueError(
                f"pixel_values have the shape {tuple(pixel_values.shape)}, and this model reads "
                f"(B, 1, {side}, {side}): take the processor of its folder."
            )
        return self.model.encode_images(pixel_values, width_m)

    def _check_ids(self, ids: Tensor) -> None:
        words, longest = self.model.config.text.vocab_size, self.model.config.text.max_length
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < words:
            raise ValueError(
                f"input_ids are none of the {words} words of this model: take the processor of its folder."
            )
        if ids.shape[-1] > longest:
            raise ValueError(
                f"The texts have {ids.shape[-1]} tokens, and this model reads {longest}: leave truncation on."
            )

    def forward(
        self,
        input_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        attention_mask: Tensor | None = None,
        width_m: Tensor | None = None,
        return_loss: bool = False,
        return_dict: bool | None = None,
    ) -> KnowLIPOutput | tuple[Tensor, ...]:
        """Compare every image with every text.

        Args:
            input_ids, attention_mask: (C, T) of the processor.
            pixel_values, width_m: (B, 1, S, S) and (B,) of the processor.
            return_loss: whether the contrastive loss of pairs in order is computed (B must be C).
            return_dict: False for a tuple.

        Raises:
            ValueError: images or texts are missing, or a loss of what are no pairs.
        """
        if input_ids is None or pixel_values is None:
            raise ValueError("Give input_ids and pixel_values; one alone goes to get_text_features or _image_features.")
        image, text = self.get_image_features(pixel_values, width_m), self.get_text_features(input_ids, attention_mask)
        logits = image @ text.T / self.model.temp
        loss = None
        if return_loss:
            if len(image) != len(text):
                raise ValueError(f"A loss needs pairs, not {len(image)} images and {len(text)} texts.")
            pairs = torch.arange(len(image), device=logits.device)
            loss = (F.cross_entropy(logits, pairs) + F.cross_entropy(logits.T, pairs)) / 2
        found = KnowLIPOutput(loss, logits, logits.T, text, image)
        return found.to_tuple() if return_dict is False else found

    def match(
        self,
        input_ids: Tensor,
        pixel_values: Tensor,
        attention_mask: Tensor | None = None,
        width_m: Tensor | None = None,
    ) -> Tensor:
        """Matching logits (B, 2) of the text and the image at the same place; index 1 says that they belong together.

        Arguments as of :meth:`forward`, with as many texts as images.
        """
        tokens, _ = self._looked(pixel_values, width_m)
        ids = self._grounded(input_ids)
        return self.model.match_ids(ids, _kept(input_ids, attention_mask), self.model.image_key_values(tokens))

    @torch.inference_mode()
    def generate(
        self,
        pixel_values: Tensor,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        width_m: Tensor | None = None,
        do_sample: bool = False,
        **settings: Any,
    ) -> Tensor:
        """Write the answer of each question, the content of the first [MASK], or a caption where there is no text.

        Args:
            pixel_values, width_m: (B, 1, S, S) and (B,) of the processor.
            input_ids, attention_mask: (B, T) of the processor; None, or a text without words: captions.
            do_sample: draw tokens (`temperature` 1 where it is not given, `top_k`, `top_p`, `seed`).
            settings: max_new_tokens, min_new_tokens, num_beams, length_penalty, early_stopping, num_return_sequences,
                no_repeat_ngram_size.

        Returns:
            Token ids (B * num_return_sequences, longest), padded; `processor.batch_decode` makes words of them.

        Raises:
            ValueError: an unknown setting, or a text for a model that writes captions alone.
        """
        config = _generation(do_sample, settings)
        tokens, _ = self._looked(pixel_values, width_m)
        special, count = self.model.tokenizer, len(tokens)
        if input_ids is None:
            input_ids = torch.tensor([[special.cls, special.sep]], device=tokens.device).expand(count, -1)
            attention_mask = None
        if len(input_ids) != count:
            raise ValueError(f"There are {count} images but {len(input_ids)} texts: give one text an image.")
        ids, keep = self._with_hole(self._grounded(input_ids), _kept(input_ids, attention_mask))
        if self.model.config.text.decoder_reads == "image":
            if bool(((ids != special.mask) & keep).sum(1).gt(2).any()):
                raise ValueError('This model only writes captions: give no text (text.decoder_reads is "image").')
            memory, kept = self.model.lm_input(tokens)
            read: tuple[Any, Tensor, Tensor | None] = (memory, kept, None)
        else:
            read = self.model.decoder_input(ids, keep, self.model.image_key_values(tokens))
        texts = list[list[int]]()
        for row in generate_read(self.model, read, config):  # of beams there may be fewer: then empty ones stand behind
            texts += [*(one.ids for one in row), *([] for _ in range(config.num - len(row)))]
        found = torch.full((len(texts), max(1, *map(len, texts))), special.pad)
        for place, text in enumerate(texts):
            found[place, : len(text)] = torch.tensor(text, dtype=torch.long)
        return found.to(tokens.device)

    def _grounded(self, input_ids: Tensor) -> Tensor:
        """Ids headed by [ENC] in place of [CLS]."""
        special = self.model.tokenizer
        self._check_ids(input_ids)
        if not bool((input_ids[:, 0] == special.cls).all()):
            raise ValueError("Texts must begin with [CLS]: take the ids of the processor.")
        return torch.cat([torch.full_like(input_ids[:, :1], special.enc), input_ids[:, 1:]], 1)

    def _with_hole(self, ids_BT: Tensor, keep_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Texts of which those without any word hold one [MASK]."""
        empty = keep_BT.sum(1) == 2
        if not bool(empty.any()):
            return ids_BT, keep_BT
        special, missing = self.model.tokenizer, max(0, 3 - ids_BT.shape[1])
        ids, keep = F.pad(ids_BT, (0, missing), value=special.pad), F.pad(keep_BT, (0, missing), value=False)
        ids[empty, 1], ids[empty, 2], keep[empty, 2] = special.mask, special.sep, True
        assert bool((first_holes(ids[empty], special.mask) == 1).all())
        return ids, keep


def _kept(ids: Tensor, mask: Tensor | None) -> Tensor:
    """Which ids are real, as bool; without a mask those that are no padding."""
    return ids != 0 if mask is None else mask.bool()


def _dtype(named: Any) -> torch.dtype:
    """A type of numbers by name or as itself; float32 where nobody says."""
    known = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
    names = {str(one).removeprefix("torch."): one for one in known}
    found = torch.float32 if named in (None, "auto") else names.get(named, named)
    if found not in known:
        raise ValueError(f"dtype must be one of {', '.join(names)}, not {named!s:.60}.")
    return found


def _device(map_: Any) -> Any:
    """The one device of a `device_map`."""
    if isinstance(map_, Mapping):
        if {*map_} != {""}:
            raise ValueError("device_map must be one device: KnowLIP is not cut into parts.")
        map_ = map_[""]
    if map_ == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return "cpu" if map_ is None else map_


def _generation(do_sample: bool, settings: Mapping[str, Any]) -> GenerationConfig:
    """Our settings from transformers'.

    Raises:
        ValueError: one that is unknown or cannot be.
    """
    known = {name: value for name, value in settings.items() if value is not None}
    # A pipeline says these of every model, and they are so here in any case.
    if known.pop("return_dict_in_generate", False):
        raise ValueError("generate returns token ids alone: leave return_dict_in_generate out.")
    if known.pop("pad_token_id", 0) != 0:
        raise ValueError("The model pads with 0: leave pad_token_id out.")
    if unknown := sorted(known.keys() - _GENERATION.keys()):
        raise ValueError(f"generate has no setting {unknown[0]:.60}: it knows {', '.join(_GENERATION)}.")
    if not do_sample and (drawn := sorted({"temperature", "top_k", "top_p", "seed"} & known.keys())):
        raise ValueError(f"{drawn[0]} belongs to do_sample=True.")
    if do_sample:
        known.setdefault("temperature", 1.0)
    return GenerationConfig(**{_GENERATION[name]: value for name, value in known.items()})
