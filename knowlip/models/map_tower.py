"""An image tower that gives a map instead of tokens (ConvNeXt, Swin, an nn.Module of a plug-in), with the face of a
Vision Transformer: one token a cell, row by row, behind a layer norm, and no class token."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Cells(NamedTuple):
    """The cells of a map, under the names that timm's patch embedding has."""

    patch_size: tuple[int, int]
    grid_size: tuple[int, int]

    @property
    def num_patches(self) -> int:
        return self.grid_size[0] * self.grid_size[1]


def _map_of(trunk: nn.Module, pixels: Tensor) -> Any:
    return trunk.forward_features(pixels) if hasattr(trunk, "forward_features") else trunk(pixels)  # type: ignore[operator]


class _Probe(nn.Module):
    """A trunk that is called for its map."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, pixels: Tensor) -> Any:
        return _map_of(self.trunk, pixels)


class MapTower(nn.Module):
    """Pixels (B, C, S, S) -> tokens (B, N, V).

    Args:
        trunk: pixels to a map (B, V, h, w), (B, h, w, V) or square tokens (B, h * w, V), by `forward_features` where it
            has that, else called; `num_features` is V, `reduction` (where it has it) the pixels a cell.
        name: of it, for messages.
        channels: C.
        side: S.

    Raises:
        ValueError: it gives something else, or no whole number of pixels a cell.
    """

    num_prefix_tokens = 0
    cls_token = None
    pos_embed = None

    def __init__(self, trunk: nn.Module, name: str, channels: int, side: int) -> None:
        super().__init__()
        self.trunk, self.name, self.channels = trunk, name, channels
        width = getattr(trunk, "num_features", None)
        if type(width) is not int or width < 1:
            raise ValueError(f"The image tower {name} does not say its width: it needs num_features.")
        if any(isinstance(one, nn.modules.batchnorm._BatchNorm) for one in trunk.modules()):
            raise ValueError(
                f"The image tower {name} has batch norm, whose statistics depend on who else is in a batch: choose one "
                "with layer norms, e.g. convnext_* or swin_*."
            )
        self.num_features: int = width
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.channels_first = False
        self.patch_embed = self._cells(side)

    def _cells(self, side: int) -> Cells:
        """What it makes of an image of a side, by shapes alone: nothing is computed, whatever the side."""
        # A stride that does not divide the side would leave its last pixels out without a word.
        if (step := _reduction(self.trunk)) and side % step:
            raise ValueError(f"The image tower {self.name} has cells of {step} pixels: {side} is no multiple of them.")
        training, probe = self.trunk.training, _Probe(self.trunk).eval()
        tensors = {**dict(probe.named_parameters()), **dict(probe.named_buffers())}
        shapes = {name: torch.empty_like(one, device="meta") for name, one in tensors.items()}
        pixels = torch.empty(1, self.channels, side, side, device="meta")
        try:
            with torch.no_grad():
                found = torch.func.functional_call(probe, shapes, (pixels,))
        except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
            said = str(error).splitlines()[0]
            raise ValueError(f"The image tower {self.name} does not read {side} x {side}: {said}") from None
        finally:
            self.trunk.train(training)
        shape = tuple(found.shape) if isinstance(found, Tensor) else ()
        self.channels_first = len(shape) == 4 and shape[1] == self.num_features
        grid = shape[2:] if self.channels_first else shape[1:3] if len(shape) == 4 else (round(shape[1] ** 0.5),) * 2
        grid = grid if len(shape) in (3, 4) else ()
        whole = len(grid) == 2 and grid[0] == grid[1] and side % grid[0] == 0
        sound = whole and (self.channels_first or shape[-1] == self.num_features)
        if not sound or (len(shape) == 3 and grid[0] ** 2 != shape[1]):
            raise ValueError(
                f"The image tower {self.name} makes {shape or type(found).__name__} of {side} x {side} pixels: it must "
                f"be a square map of {self.num_features} channels whose cells are a whole number of pixels."
            )
        return Cells((side // grid[0],) * 2, (int(grid[0]), int(grid[1])))

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = _map_of(self.trunk, pixels)
        if self.channels_first:
            found = found.flatten(2).mT
        tokens: Tensor = self.norm(found.flatten(1, 2) if found.ndim == 4 else found)
        return tokens

    def forward_features(self, pixels: Tensor) -> Tensor:
        """The same."""
        return self.forward(pixels)

    def set_input_size(self, img_size: int) -> None:
        """Read images of another side from now on.

        Raises:
            ValueError: it cannot.
        """
        if hasattr(self.trunk, "set_input_size"):
            self.trunk.set_input_size(img_size=img_size)  # type: ignore[operator]
        self.patch_embed = self._cells(img_size)

    def set_grad_checkpointing(self, on: bool = True) -> None:
        """Keep less for the backward pass, where the tower knows how.

        Raises:
            ValueError: it does not.
        """
        if hasattr(self.trunk, "set_grad_checkpointing"):
            self.trunk.set_grad_checkpointing(on)  # type: ignore[operator]
        elif on:
            raise ValueError(f"The image tower {self.name} has no set_grad_checkpointing: leave it out.")


def _reduction(trunk: nn.Module) -> int:
    """Pixels a cell as the module says itself (`reduction`, or timm's `feature_info`); 0 where it does not."""
    info = getattr(trunk, "feature_info", None)
    last = info[-1] if isinstance(info, list) and info else {}
    found = getattr(trunk, "reduction", last.get("reduction") if isinstance(last, dict) else None)
    return found if type(found) is int and found > 0 else 0
