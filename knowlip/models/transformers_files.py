"""What Hugging Face's transformers needs beside `model.safetensors`: JSON files, made without that package.

A folder with these opens by `AutoModel` and `AutoProcessor` once `knowlip.models.transformers` is imported. Names of
the weights are those of our own folders, so one file of weights serves both.
"""

import dataclasses
import json
from typing import Any, Final

from tokenizers import Tokenizer

from knowlip.models.config import ModelConfig
from knowlip.models.tokenizer import TextTokenizer, framed_tokenizer
from knowlip.models.towers import Towers

CONFIG, TOKENIZER, TOKENIZER_CONFIG, PROCESSOR = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "processor_config.json",
)
FILES: Final = (CONFIG, TOKENIZER, TOKENIZER_CONFIG, PROCESSOR)
MODEL_TYPE: Final = "knowlip"
SPECIAL_IDS: Final = ("pad", "unk", "cls", "sep", "mask", "dec", "enc")
"""Special tokens that a model which reads token ids must know."""


def special_ids(tokenizer: TextTokenizer) -> dict[str, int]:
    """Name -> id of each special token."""
    return {name: getattr(tokenizer, name) for name in SPECIAL_IDS}


def config_entries(config: ModelConfig, tokenizer: TextTokenizer) -> dict[str, Any]:
    """What `config.json` says of a model, besides transformers' own keys."""
    return {"towers": dataclasses.asdict(config), "special_ids": special_ids(tokenizer)}


def hugging_face_tokenizer(tokenizer: TextTokenizer) -> Tokenizer:
    """[CLS] before, [SEP] behind; cut and padded by whoever calls it."""
    framed = framed_tokenizer(tokenizer)
    framed.no_truncation()
    framed.no_padding()
    return framed


def transformers_files(model: Towers) -> dict[str, str]:
    """File name -> content, without the weights."""
    vision, longest = model.config.vision, model.config.text.max_length
    config = {
        "architectures": ["KnowLIPModel"],
        "model_type": MODEL_TYPE,
        "dtype": "float32",
        **config_entries(model.config, model.tokenizer),
    }
    tokenizer = {"tokenizer_class": "KnowLIPTokenizer", "model_max_length": longest}
    image = {
        "image_processor_type": "KnowLIPImageProcessor",
        "image_size": vision.image_size,
        "image_mean": vision.mean,
        "image_std": vision.std,
    }
    files = {
        CONFIG: config,
        TOKENIZER_CONFIG: tokenizer,
        PROCESSOR: {"processor_class": "KnowLIPProcessor", "image_processor": image},
    }
    written = {name: json.dumps(value, indent=1, sort_keys=True) for name, value in files.items()}
    return {**written, TOKENIZER: hugging_face_tokenizer(model.tokenizer).to_str()}
