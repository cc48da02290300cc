"""KnowLIP in Hugging Face's transformers: `import knowlip.models.transformers`, then `AutoModel`, `AutoProcessor`,
`AutoTokenizer` and pipelines know it, with remote code off.

Nothing of a folder is run: configs hold known keys within ranges, weights are safetensors of the names and shapes that
the config says, the tokenizer is BERT's WordPiece.
"""

from importlib.util import find_spec

if find_spec("transformers") is None:
    raise ModuleNotFoundError("It needs transformers: pip install 'knowlip[transformers]'.", name="transformers")

from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForZeroShotImageClassification,
    AutoProcessor,
    AutoTokenizer,
)

from knowlip.models.transformers.config import KnowLIPConfig
from knowlip.models.transformers.model import KnowLIPModel, KnowLIPOutput
from knowlip.models.transformers.processor import KnowLIPImageProcessor, KnowLIPProcessor
from knowlip.models.transformers.tokenizer import KnowLIPTokenizer

__all__ = [
    "KnowLIPConfig",
    "KnowLIPImageProcessor",
    "KnowLIPModel",
    "KnowLIPOutput",
    "KnowLIPProcessor",
    "KnowLIPTokenizer",
]

AutoConfig.register(KnowLIPConfig.model_type, KnowLIPConfig, exist_ok=True)
for _kind in (AutoModel, AutoModelForZeroShotImageClassification, AutoModelForImageTextToText):
    _kind.register(KnowLIPConfig, KnowLIPModel, exist_ok=True)
AutoTokenizer.register(KnowLIPConfig, KnowLIPTokenizer, exist_ok=True)
_IMAGES = {"pil": KnowLIPImageProcessor, "torchvision": KnowLIPImageProcessor}
AutoImageProcessor.register(KnowLIPConfig, image_processor_classes=_IMAGES, exist_ok=True)
AutoProcessor.register(KnowLIPConfig, KnowLIPProcessor, exist_ok=True)
