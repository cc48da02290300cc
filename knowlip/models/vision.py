"""The image tower: a Vision Transformer of timm that takes one channel and returns all its tokens; or any model of timm
or of a plug-in that gives a map."""

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any

import timm
from timm.models.beit import Beit
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from knowlip.base.plugins import plugin, plugin_names
from knowlip.base.progress import say
from knowlip.models.config import VisionConfig
from knowlip.models.map_tower import MapTower
from knowlip.models.stem import Stem


def image_tower(config: VisionConfig) -> nn.Module:
    """Build the tower with random weights; :mod:`knowlip.models.weights` fills in others.

    Returns:
        A module: pixels (B, 1, S, S) -> tokens (B, N, V), the class token (where it has one) first.

    Raises:
        ValueError: neither timm nor a plug-in knows the name, it refuses the changes, or the model gives no map.
    """
    if config.name in plugin_names("towers"):
        tower = _of_plugin(config)
    else:
        # timm also takes names of repositories and folders, and opens them.
        if not timm.is_model(config.name.partition(".")[0]):
            raise ValueError(
                f"model.vision.name {config.name[:60]!r} is no model of timm and no tower of a plug-in: choose one of "
                "timm.list_models('vit*'), or register or install the plug-in that has it."
            )
        tower = _of_timm(config)
    if isinstance(tower, VisionTransformer | Eva | Beit):
        return tower
    if config.stem:
        raise ValueError(f"{config.name} is a {type(tower).__name__}, which reads pixels: set model.vision.stem to 0.")
    return MapTower(tower, config.name, 1, config.image_size)


def _of_timm(config: VisionConfig) -> nn.Module:
    def built(**size: int) -> nn.Module:
        settings = {"in_chans": config.stem or 1, "num_classes": 0, "global_pool": "", **size, **config.changes}
        tower: nn.Module = timm.create_model(config.name, pretrained=False, **settings)
        return tower

    try:
        try:
            tower = built(img_size=tower_side(config))
        except TypeError as error:  # convolutions read images of any side
            if "img_size" not in str(error):
                raise
            tower = built()
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        if isinstance(error, TypeError) and (unknown := re.search(r"unexpected keyword argument '(\w+)'", str(error))):
            raise ValueError(_strange(config, [unknown[1]])) from error
        raise ValueError(f"model.vision cannot be built by timm ({config.name}): {error}") from error
    # Some constructors (Swin's) take any name and forget it.
    if strange := config.changes.keys() - {name for kind in type(tower).__mro__[:-1] for name in _taken(kind)[0]}:
        raise ValueError(_strange(config, strange))
    if not isinstance(tower, VisionTransformer | Eva | Beit):
        for name in ("head", "classifier", "fc"):  # it has no part in a map, and would be weights that never learn
            if hasattr(tower, name):
                setattr(tower, name, nn.Identity())
    return tower


def _of_plugin(config: VisionConfig) -> nn.Module:
    """What the function of a plug-in makes.

    Raises:
        ValueError: it cannot be loaded, or fails; its own sentence is told.
    """
    make = plugin("towers", config.name)
    names, any_name = _taken(make)
    if strange := config.changes.keys() - names:
        if not any_name:
            raise ValueError(_strange(config, strange))
        say(
            f"  note: the tower {config.name} is given {', '.join(sorted(strange))} of model.vision.changes; it takes "
            "any name, so whether they change anything is not known here."
        )
    try:
        tower = make(in_chans=1, img_size=config.image_size, **config.changes)
    except Exception as error:  # it is another's code: whatever goes wrong in it is said with its name
        raise ValueError(f"The tower {config.name} cannot be built ({type(error).__name__}: {error}).") from error
    if not isinstance(tower, nn.Module):
        raise ValueError(f"The tower {config.name} is a {type(tower).__name__}, not a torch.nn.Module.")
    return tower


def _taken(make: Callable[..., Any]) -> tuple[set[str], bool]:
    """Names of the arguments of a function or class, and whether it takes any other."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):  # of what is not written in Python
        return set(), True
    names = {one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)}
    return names, any(one.kind is one.VAR_KEYWORD for one in parameters)


def _strange(config: VisionConfig, names: Iterable[str]) -> str:
    """That a tower does not know some changes."""
    return (
        f"model.vision.changes holds {', '.join(sorted(names))}, which {config.name} does not know: settings of "
        "another tower, perhaps of the recipe. Give those that it knows, or none: --model.vision.changes {}."
    )


def summary_token(tower: nn.Module, tokens_BNV: Tensor) -> Tensor:
    """What stands for the whole image (B, V): the class token, or the mean of all tokens where the ViT has none."""
    return tokens_BNV[:, 0] if getattr(tower, "cls_token", None) is not None else tokens_BNV.mean(1)


def grid_of(tower: nn.Module) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Size of a patch in pixels, grid of patches, and how many position embeddings stand before the patches'."""
    patch_embed = tower.patch_embed
    rows, columns = patch_embed.grid_size  # type: ignore[union-attr, misc]
    height, width = patch_embed.patch_size  # type: ignore[union-attr, misc]
    positions = getattr(tower, "pos_embed", None)
    prefix = positions.shape[1] - rows * columns if positions is not None else 0
    return (height, width), (rows, columns), prefix


def tower_side(config: VisionConfig) -> int:
    """Side of what the ViT reads: of the image, or of the stem's map.

    Raises:
        ValueError: the stem's stride does not divide the image's side.
    """
    if not config.stem:
        return config.image_size
    if config.image_size % Stem.STRIDE:
        raise ValueError(f"model.vision.image_size must be a multiple of {Stem.STRIDE} with a stem.")
    return config.image_size // Stem.STRIDE


def map_side(config: VisionConfig) -> int:
    """Cells along each side of the finest map of a tower: the stem's, or the patches'."""
    if config.stem:
        return tower_side(config)
    named = re.search(r"patch(\d+)", config.name)
    patch = config.changes.get("patch_size", int(named.group(1)) if named else 16)
    return config.image_size // int(patch)
