"""Our tokenizer with transformers' face: [CLS] text [SEP], cut to the model's length unless it is told otherwise."""

import json
import os
from typing import Any, Final

from transformers import PreTrainedTokenizerFast

from knowlip.base.documents import read_json
from knowlip.models.special import EXTRA
from knowlip.models.tokenizer import TextTokenizer, tidy
from knowlip.models.transformers.fetched import fetched, hub_settings
from knowlip.models.transformers_files import TOKENIZER, TOKENIZER_CONFIG, hugging_face_tokenizer

_LONGEST: Final = 65536
_NAMES: Final = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}


class KnowLIPTokenizer(PreTrainedTokenizerFast):
    """Texts to token ids and back.

    Args:
        tokenizer_object: of the `tokenizers` library.
        model_max_length: to which texts are cut.
    """

    model_input_names = ("input_ids", "attention_mask")

    def __init__(self, tokenizer_object: Any = None, model_max_length: int = 256) -> None:
        if tokenizer_object is None:
            raise ValueError("Make it by KnowLIPTokenizer.of(tokenizer, longest) or from_pretrained(folder).")
        super().__init__(
            tokenizer_object=tokenizer_object,
            model_max_length=model_max_length,
            additional_special_tokens=list(EXTRA),
            clean_up_tokenization_spaces=False,
            **_NAMES,
        )

    @classmethod
    def of(cls, tokenizer: TextTokenizer, longest: int) -> "KnowLIPTokenizer":
        """That of one of our models, which reads `longest` tokens."""
        return cls(hugging_face_tokenizer(tokenizer), longest)

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *_: Any, **settings: Any
    ) -> "KnowLIPTokenizer":
        """Open `tokenizer.json` of a folder or USER/REPO.

        Raises:
            ValueError: no such file, a broken one, or a tokenizer that is not BERT's.
        """
        hub = hub_settings(settings)
        said = read_json(fetched(pretrained_model_name_or_path, TOKENIZER_CONFIG, hub))
        longest = said.get("model_max_length") if isinstance(said, dict) else None
        if type(longest) is not int or not 3 <= longest <= _LONGEST:
            raise ValueError(f"{TOKENIZER_CONFIG}: model_max_length must be a whole number from 3 to {_LONGEST}.")
        file = fetched(pretrained_model_name_or_path, TOKENIZER, hub)
        return cls.of(_plain(read_json(file), str(file)), longest)

    @property
    def plain(self) -> TextTokenizer:
        """The same as our models have it."""
        return _plain(json.loads(self.backend_tokenizer.to_str()), "The tokenizer")

    def __call__(self, text: Any = None, *others: Any, truncation: Any = True, **settings: Any) -> Any:
        """Token ids and mask of texts; cut to the model's length unless `truncation=False`."""
        return super().__call__(text, *others, truncation=truncation, **settings)

    def _decode(self, token_ids: Any, skip_special_tokens: bool = False, **settings: Any) -> str:
        """Words of token ids, as our models write them."""
        return tidy(str(super()._decode(token_ids, skip_special_tokens=skip_special_tokens, **settings)))


def _plain(said: Any, what: str) -> TextTokenizer:
    """A tokenizer of `tokenizer.json` without what frames, cuts and pads; checked as that of a model folder."""
    if not isinstance(said, dict):
        raise ValueError(f"{what} is no tokenizer.")
    plain = {**said, "post_processor": None, "truncation": None, "padding": None}
    try:
        return TextTokenizer.from_json(json.dumps(plain))
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
