"""Our tokenizer with transformers' face: [CLS] text [SEP], cut to the model's length unless it is told otherwise."""

import json
import os
from pathlib import Path
from typing import Any, Final

from transformers import PreTrainedTokenizerFast

from knowlip.base.documents import read_json
from knowlip.models.hub import CARD
from knowlip.models.special import EXTRA
from knowlip.models.tokenizer import TextTokenizer, tidy
from knowlip.models.transformers.config import KnowLIPConfig
from knowlip.models.transformers.fetched import fetched, hub_settings
from knowlip.models.transformers_files import TOKENIZER, TOKENIZER_CONFIG, hugging_face_tokenizer, special_ids

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
            ValueError: no such file, a broken one, a tokenizer that is not BERT's, or of another model than the
                one beside it.
        """
        hub = hub_settings(settings)
        said = read_json(fetched(pretrained_model_name_or_path, TOKENIZER_CONFIG, hub))
        longest = said.get("model_max_length") if isinstance(said, dict) else None
        if type(longest) is not int or not 3 <= longest <= _LONGEST:
            raise ValueError(f"{TOKENIZER_CONFIG}: model_max_length must be a whole number from 3 to {_LONGEST}.")
        file = fetched(pretrained_model_name_or_path, TOKENIZER, hub)
        plain = _plain(read_json(file), str(file))
        _check_fits(plain, longest, file, KnowLIPConfig.beside(pretrained_model_name_or_path, hub))
        return cls.of(plain, longest)

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


def _check_fits(tokenizer: TextTokenizer, longest: int, file: Path, config: KnowLIPConfig | None) -> None:
    """Refuse a tokenizer of which the model beside it reads other ids.

    Raises:
        ValueError: other words, as far as files tell: their number, special tokens, and all of them where our own file
            of the model stands there too; or texts that are longer than it reads.
    """
    if config is None:
        return
    text = config.model.text
    wrong = ""
    if len(tokenizer) != text.vocab_size:
        wrong = f"{len(tokenizer)} words, and the model beside it {text.vocab_size}"
    elif special_ids(tokenizer) != config.special_ids:
        wrong = "other special tokens than the model beside it"
    elif longest > text.max_length:
        wrong = f"a model_max_length of {longest}, and the model beside it reads {text.max_length} tokens"
    elif (ours := file.with_name(CARD)).is_file():
        said = read_json(ours)
        words = TextTokenizer.from_json(json.dumps(said.get("tokenizer") if isinstance(said, dict) else None))
        if words.to_json() != tokenizer.to_json():
            wrong = f"other words than {CARD} beside it"
    if wrong:
        raise ValueError(f"{file} has {wrong}: take both files of one model.")


def _plain(said: Any, what: str) -> TextTokenizer:
    """A tokenizer of `tokenizer.json` without what frames, cuts and pads; checked as that of a model folder."""
    if not isinstance(said, dict):
        raise ValueError(f"{what} is no tokenizer.")
    plain = {**said, "post_processor": None, "truncation": None, "padding": None}
    try:
        return TextTokenizer.from_json(json.dumps(plain))
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
