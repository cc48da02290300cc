"""A small set of chips and tiny self-supervised runs on it."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from knowlip.models.config import VisionConfig
from knowlip.tasks.selfsup.settings import DinoConfig, JepaConfig, MaeConfig, MocoConfig, SelfSupConfig
from knowlip.tiles.imports import ImportConfig, import_dataset
from knowlip.training.augment import AugmentConfig
from knowlip.training.views import ViewConfig

SIDE = 32
CLASSES = ("columns", "crosses", "plain", "rows")


def chip(name: str, chance: np.random.Generator, depth: float, looks: int) -> np.ndarray:
    """Speckle over waves of any phase, at a brightness that outweighs them as the gain of a radar does; some have a
    border without data."""
    rows, columns = np.mgrid[:SIDE, :SIDE] * (2 * np.pi / 8) + chance.uniform(0, 6.3, (2, 1, 1))
    wave = {
        "columns": np.sin(columns),
        "rows": np.sin(rows),
        "crosses": 1.4 * np.sin(columns) * np.sin(rows),
        "plain": 0 * rows,
    }[name]
    brightness = np.exp(chance.uniform(2.5, 4.7))
    amplitude = np.exp(depth * wave) * brightness * np.sqrt(chance.gamma(looks, 1 / looks, wave.shape))
    pixels = amplitude.clip(1, 255).astype(np.uint8)
    if chance.random() < 0.2:
        pixels[:, : chance.integers(2, 10)] = 0
    return pixels


def chips(folder: Path, depth: float = 0.3, looks: int = 1, train: int = 40, test: int = 15) -> Path:
    """A data set of four classes.

    Args:
        folder: where to.
        depth: of the waves, as a logarithm of amplitude.
        looks: of the speckle.
        train, test: tiles of each class.
    """
    chance = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        for name in CLASSES:
            for number in range(count):
                path = folder / "set" / split / name / f"{number:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(chip(name, chance, depth, looks)).save(path)
    import_dataset(ImportConfig(source=folder / "set", format="folder", out=folder / "data"))
    return folder / "data"


def config(dataset: Path, out: Path, **changes: Any) -> SelfSupConfig:
    """A tower of two blocks on 4 x 4 patches of 8 px."""
    vision = VisionConfig("vit_tiny_patch16_224", SIDE, {"patch_size": 8, "embed_dim": 64, "depth": 2, "num_heads": 4})
    settings = {
        "vision": vision,
        "steps": 6,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "accelerator": "cpu",
        "loggers": (),
        "log_every": 2,
        "knn_every": 0,
        "neighbours": 5,
        "pictures": 2,
        "views": ViewConfig(augment=AugmentConfig(gain_db=6.0, speckle_looks=0, flips=0.5, rotations=0)),
        "mae": MaeConfig(width=32, depth=1, heads=2),
        "moco": MocoConfig(width=64, embed_dim=32),
        "jepa": JepaConfig(window=3, windows=2, scales=(2, 3), width=32, depth=1, heads=2),
        "dino": DinoConfig(local_views=2, local_px=16, prototypes=64, patch_prototypes=64, hidden=64, bottleneck=32),
    }
    return SelfSupConfig(dataset=dataset, out=out, **{**settings, **changes})
