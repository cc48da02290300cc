"""An image tower alone, as a folder: what a pre-training without texts leaves behind.

`model.safetensors` (timm's names) and `config.json` as timm's hub has it (architecture, arguments, normalisation), with
one more entry, `knowlip`: pooling, the card, where it comes from. So the folder opens as an encoder in every task, as
`init.vision` of a pre-training with texts, and (but for relative positions) in timm itself as `local-dir:FOLDER`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast, get_args

import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from knowlip.base.documents import read_json
from knowlip.base.files import recover, whole_folder, write_json
from knowlip.models.card import ModelCard, checked_card
from knowlip.models.config import ModelConfig, Pool, Positions, VisionConfig
from knowlip.models.irpe import with_relative_positions
from knowlip.models.layout import numbers_of, shapes_of
from knowlip.models.vision import image_tower, tower_side

FORMAT: Final = 1
WEIGHTS: Final = "model.safetensors"
CONFIG: Final = "config.json"
_OURS: Final = "knowlip"
"""Entry of the JSON that is not timm's."""


class VisionModel(nn.Module):
    """A Vision Transformer of timm that reads one channel.

    Args:
        config: what it is made of; no stem.
        pool: what stands for a whole image.
        positions: of patches.

    Raises:
        ValueError: timm does not know the name or refuses the changes, or it is no plain ViT.
    """

    visual_encoder: VisionTransformer

    def __init__(self, config: VisionConfig, pool: Pool = "token", positions: Positions = "learned") -> None:
        super().__init__()
        if config.stem:
            raise ValueError("A vision tower alone reads pixels: set vision.stem to 0.")
        tower = _tower(config, positions)
        if pool == "token" and tower.cls_token is None:
            raise ValueError(f"{config.name} has no class token to stand for an image: take pool avg.")
        self.config, self.pool, self.positions = ModelConfig(vision=config), pool, positions
        self.visual_encoder, self.stem = tower, None
        self.card: ModelCard = {}

    @property
    def vision(self) -> VisionConfig:
        """What it is made of."""
        return self.config.vision

    def normalise(self, pixels: Tensor) -> Tensor:
        """uint8 (B, S, S) -> float (B, 1, S, S)."""
        return (pixels[:, None].float() / 255 - self.vision.mean) / self.vision.std

    def summary(self, tokens_BND: Tensor) -> Tensor:
        """What stands for the whole image (B, D)."""
        if self.pool == "token":
            return tokens_BND[:, 0]
        return tokens_BND[:, self.visual_encoder.num_prefix_tokens :].mean(1)


def _tower(config: VisionConfig, positions: Positions) -> VisionTransformer:
    """timm's tower with its positions."""
    tower = image_tower(config)
    if not isinstance(tower, VisionTransformer) or tower.pos_embed is None:
        raise ValueError(
            f"{config.name} is a {type(tower).__name__}: choose a VisionTransformer of timm with absolute positions "
            "(vit_* or deit3_*)."
        )
    if positions == "sincos":
        _fix_positions(tower)
    return with_relative_positions(tower) if positions == "relative" else tower


def sincos_positions(width: int, rows: int, columns: int) -> Tensor:
    """Sines and cosines (rows * columns, width) of a grid: half of the width for the column, half for the row, as
    MAE's `get_2d_sincos_pos_embed` has them.

    Raises:
        ValueError: the width is no multiple of 4.
    """
    if width % 4:
        raise ValueError(f"Sines and cosines of two axes need a width that is a multiple of 4, not {width}.")
    omega = 10000 ** -(torch.arange(width // 4, dtype=torch.float64) / (width // 4))
    row, column = (one.flatten() for one in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"))
    angles = [axis[:, None].double() * omega for axis in (column, row)]
    return torch.cat([part for angle in angles for part in (angle.sin(), angle.cos())], 1).float()


@torch.no_grad()
def _fix_positions(tower: VisionTransformer) -> None:
    """Replace learned positions by fixed ones; those of class token and registers are 0."""
    assert tower.pos_embed is not None
    rows, columns = tower.patch_embed.grid_size
    prefix = tower.pos_embed.shape[1] - rows * columns
    tower.pos_embed.zero_()
    tower.pos_embed[0, prefix:] = sincos_positions(tower.embed_dim, rows, columns)
    tower.pos_embed.requires_grad_(False)


# ---- on disk --------------------------------------------------------------------------------------------------------


def save_vision(model: VisionModel, folder: Path, card: ModelCard, method: str, state: Mapping[str, Tensor]) -> None:
    """Write a folder, whole or not at all.

    Args:
        model: says what it is made of.
        folder: is replaced when it exists.
        card: facts to keep beside the weights.
        method: of its training, for people.
        state: weights by timm's names.
    """
    vision = model.vision
    # What timm asks of a hub's config.json, and one entry of ours.
    config = {
        "architecture": vision.name.partition(".")[0],
        "num_classes": 0,
        "num_features": model.visual_encoder.num_features,
        "model_args": {"img_size": vision.image_size, "in_chans": 1, **vision.changes},
        "pretrained_cfg": {
            "input_size": [1, vision.image_size, vision.image_size],
            "fixed_input_size": True,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": [vision.mean],
            "std": [vision.std],
            "num_classes": 0,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
        },
        _OURS: {
            "format": FORMAT,
            "method": method,
            "pool": model.pool,
            "positions": model.positions,
            "card": card,
        },
    }
    with whole_folder(folder) as part:
        whole = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        save_file(whole, part / WEIGHTS, metadata={"format": "pt"})
        write_json(part / CONFIG, config)


def is_vision(folder: Path) -> bool:
    """Whether a folder is one of :func:`save_vision`."""
    recover(folder)
    if not (folder / CONFIG).is_file():
        return False
    saved = read_json(folder / CONFIG)
    return isinstance(saved, dict) and _OURS in saved


def load_vision(folder: Path) -> VisionModel:
    """Open a folder of :func:`save_vision`, in evaluation mode; `model.card` holds the facts beside the weights.

    Raises:
        ValueError: no such folder, a broken file, another format, or weights that do not fit.
    """
    if not is_vision(folder):
        raise ValueError(f"{folder} is no vision tower of KnowLIP: it needs {CONFIG} and {WEIGHTS}.")
    try:
        config, pool, positions, card = _checked(read_json(folder / CONFIG))
        with torch.device("meta"):  # only what the file holds too is allocated
            shapes = {name: tuple(one.shape) for name, one in _tower(config, positions).state_dict().items()}
    except (ValueError, RuntimeError, TypeError) as error:
        raise ValueError(f"{folder / CONFIG}: {str(error).splitlines()[0]}") from None
    found = shapes_of(folder / WEIGHTS)
    if different := sorted(name for name in shapes.keys() | found.keys() if shapes.get(name) != found.get(name)):
        raise ValueError(
            f"{folder / WEIGHTS}: {different[0]} has shape {found.get(different[0])}, the config says "
            f"{shapes.get(different[0])}."
        )
    model = VisionModel(config, pool, positions)
    weights = numbers_of(folder / WEIGHTS)
    model.visual_encoder.load_state_dict(weights)
    model.card = card
    return model.eval()


def _checked(saved: Any) -> tuple[VisionConfig, Pool, Positions, ModelCard]:
    """What a JSON says, each entry of its kind.

    Raises:
        ValueError: an entry is missing or of another kind.
    """
    ours, arguments, known = (saved.get(key) for key in (_OURS, "model_args", "pretrained_cfg"))
    if not isinstance(ours, dict) or not isinstance(arguments, dict) or not isinstance(known, dict):
        raise ValueError(f"{_OURS}, model_args and pretrained_cfg must be settings.")
    if ours.get("format") != FORMAT:
        raise ValueError(f"This version reads format {FORMAT}, not {ours.get('format')!r:.60}.")
    if ours.get("pool") not in get_args(Pool) or ours.get("positions") not in get_args(Positions):
        raise ValueError(f"pool is one of {get_args(Pool)}, positions one of {get_args(Positions)}.")
    mean, std = known.get("mean"), known.get("std")
    if not all(isinstance(one, list) and len(one) == 1 for one in (mean, std)) or arguments.get("in_chans") != 1:
        raise ValueError("It must read one channel, with one mean and one std.")
    changes = {key: value for key, value in arguments.items() if key not in ("img_size", "in_chans")}
    config = VisionConfig(saved.get("architecture"), arguments.get("img_size"), changes, mean[0], std[0])  # type: ignore[index, arg-type]
    tower_side(config)
    return config, cast(Pool, ours["pool"]), cast(Positions, ours["positions"]), checked_card(ours.get("card"))
