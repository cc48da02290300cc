"""A model's settings as transformers keeps them: those of :class:`knowlip.models.ModelConfig`, checked the same.

They stand in one entry, `towers`: transformers takes `temperature` at the top for a setting of generation.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any, Final

from transformers import PreTrainedConfig

from knowlip.models.config import ModelConfig, model_config
from knowlip.models.tokenizer import SpecialTokens, TextTokenizer
from knowlip.models.transformers.fetched import fetched
from knowlip.models.transformers_files import CONFIG, MODEL_TYPE, SPECIAL_IDS, config_entries

_THEIRS: Final = frozenset(
    {
        *("architectures", "model_type", "dtype", "torch_dtype", "transformers_version", "name_or_path"),
        *("_name_or_path", "return_dict", "output_hidden_states", "output_attentions", "attn_implementation"),
        *("experts_implementation", "chunk_size_feed_forward", "is_encoder_decoder", "id2label", "label2id"),
        *("num_labels", "problem_type", "_attn_implementation_internal", "_experts_implementation_internal"),
    }
)
"""Keys of transformers' own that a config may hold; none of them decides what is computed."""
_BERT_IDS: Final = {"pad": 0, "unk": 100, "cls": 101, "sep": 102, "mask": 103, "dec": 30522, "enc": 30523}


class KnowLIPConfig(PreTrainedConfig):
    """Settings of :class:`KnowLIPModel`; without any those of the paper's model with BERT's vocabulary.

    Args:
        towers: the entry `model` of `knowlip.json`, see :class:`knowlip.models.ModelConfig`.
        special_ids: name ("pad", "unk", "cls", "sep", "mask", "dec", "enc") -> id of each special token.
        others: transformers' own keys.

    Raises:
        ValueError: a key that is unknown, or a value that cannot be.
    """

    model_type = MODEL_TYPE

    def __init__(
        self, towers: Mapping[str, Any] | None = None, special_ids: Mapping[str, int] | None = None, **others: Any
    ) -> None:
        if unknown := sorted(others.keys() - _THEIRS):
            raise ValueError(f"The config has the unknown setting {unknown[0]:.60}.")
        config = ModelConfig() if towers is None else model_config(towers)
        ids = _BERT_IDS if special_ids is None else special_ids
        if not isinstance(ids, Mapping) or {*ids} != {*SPECIAL_IDS}:
            raise ValueError(f"special_ids must be the ids of {', '.join(SPECIAL_IDS)}.")
        words = range(config.text.vocab_size)
        if not all(type(one) is int and one in words for one in ids.values()) or len({*ids.values()}) != len(ids):
            raise ValueError(f"special_ids must be different ids of the {len(words)} words.")
        if ids["pad"] != 0:
            raise ValueError("special_ids: pad must be 0.")
        self.towers, self.special_ids = dataclasses.asdict(config), dict(ids)
        super().__init__(**others)

    @classmethod
    def of(cls, config: ModelConfig, tokenizer: TextTokenizer) -> "KnowLIPConfig":
        """That of one of our models."""
        return cls(**config_entries(config, tokenizer), architectures=["KnowLIPModel"])

    @classmethod
    def beside(cls, name: str | os.PathLike[str], hub: Mapping[str, Any]) -> "KnowLIPConfig | None":
        """That of the folder or repository that a processor is opened from; None where it holds no model.

        Args:
            name: folder, or USER/REPO.
            hub: where files are fetched from.

        Raises:
            ValueError: it is broken.
        """
        try:
            fetched(name, CONFIG, hub)
        except ValueError:
            return None
        found = cls.from_pretrained(name, **hub)
        assert isinstance(found, cls)
        return found

    @property
    def model(self) -> ModelConfig:
        """The same as our models have it, checked (attributes may have been changed)."""
        return model_config(self.towers)

    @property
    def special_tokens(self) -> SpecialTokens:
        """What stands for a tokenizer in the model."""
        return SpecialTokens(self.model.text.vocab_size, self.special_ids)
