"""The frozen model that judges texts: a model folder as it is, or the momentum model of a training."""

import hashlib
from pathlib import Path

import torch

from knowlip.base.documents import read_yaml
from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig, load_model
from knowlip.models.checkpoint import unshared
from knowlip.training.resume import read_checkpoint
from knowlip.training.state import load_whole_state

_EMA = "ema."


def scoring_model(path: Path, device: str) -> KnowLIP:
    """Load what scores, in evaluation mode.

    Args:
        path: a model folder (or "user/repo" of the hub); or the folder of a pre-training run, finished or not: then
            the momentum model of its last checkpoint, whose scores wander less than those of the model itself.
        device: "cpu", "cuda", "cuda:1", ..., or "auto".

    Raises:
        ValueError: there is neither, or the files do not fit each other.
    """
    if not (path / "checkpoint.pt").is_file():
        return load_model(path / "model" if (path / "model").is_dir() else path, device)
    state = read_checkpoint(path / "checkpoint.pt")
    assert state is not None
    weights = {name[len(_EMA) :]: value for name, value in state["weights"].items() if name.startswith(_EMA)}
    if not weights:
        raise ValueError(f"{path} is no pre-training run: its checkpoint holds no momentum model.")
    try:
        tokenizer = TextTokenizer.from_json((path / "tokenizer.json").read_text())
        sizes = {**ModelConfig.BEFORE, **read_yaml(path / "config.yaml")["model"]}
        text = TextConfig(**{**sizes["text"], "vocab_size": len(tokenizer)})
        config = ModelConfig(**{**sizes, "vision": VisionConfig(**sizes["vision"]), "text": text})
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"{path} lacks what a checkpoint needs beside it ({error}).") from error
    model = KnowLIP(config, tokenizer)
    load_whole_state(model, weights)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return model.eval().to(device)


def fingerprint(model: KnowLIP) -> str:
    """SHA-256 over names and values of the weights, and the tokenizer."""
    digest = hashlib.sha256(model.tokenizer.to_json().encode())
    for name, weight in sorted(unshared(model).items()):
        digest.update(name.encode())
        digest.update(weight.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
