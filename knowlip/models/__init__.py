"""The model: towers, tokenizer, generation, and its folder on disk."""

from knowlip.models.checkpoint import load_model, save_model
from knowlip.models.config import ModelConfig, TextConfig, VisionConfig
from knowlip.models.knowlip import KnowLIP
from knowlip.models.tokenizer import TextTokenizer

__all__ = ["KnowLIP", "ModelConfig", "TextConfig", "TextTokenizer", "VisionConfig", "load_model", "save_model"]
