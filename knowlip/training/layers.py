"""What fine-tuning does layer by layer: lower learning rates below (layer decay), blocks skipped at random (drop path).

Layer decay (ELECTRA, Clark et al. 2020; BEiT): what lies k blocks below the top of an image tower learns at the rate
times decay to the power of k. Stochastic depth (Huang et al. 2016): a block's branch is left out with a probability
that rises from 0 at the lowest block to the rate given at the top.
"""

import re
from collections.abc import Mapping, Sequence

from timm.layers import DropPath
from torch import nn

_BLOCK = re.compile(r"(?:^|\.)blocks\.(\d+)\.")
_BRANCHES = ("drop_path", "drop_path1", "drop_path2")


def layer_shares(names: Sequence[str], decay: float) -> Mapping[str, float]:
    """Share of the learning rate of each parameter.

    Args:
        names: of the parameters that learn, in order of the modules. What stands before the blocks in their tower are
            its embeddings, what stands behind them (norms, heads) learns at the full rate.
        decay: of one block to the next below; 1 gives all the full rate.

    Raises:
        ValueError: decay is not above 0 and at most 1, or there is no one row of blocks to count.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"layer_decay must be above 0 and at most 1, not {decay}.")
    if decay == 1:
        return dict.fromkeys(names, 1.0)
    number = {name: int(found[1]) for name in names if (found := _BLOCK.search(name))}
    rows = {name[: _BLOCK.search(name).start()] for name in number}  # type: ignore[union-attr]
    if len(rows) > 1 and (towers := {row for row in rows if row.endswith("visual_encoder.")}):
        rows = towers  # a convolutional stem has blocks too: it lies below them
        number = {name: at for name, at in number.items() if any(name.startswith(row) for row in rows)}
    if len(rows) != 1:
        here = f"{len(rows)} of them" if rows else "none that learns"
        raise ValueError(f"layer_decay counts the blocks of one vision transformer, and here are {here}: set it to 1.")
    depth = max(number.values()) + 1
    tower, first = rows.pop().partition(".")[0], min(map(list(names).index, number))
    shares = {}
    for place, name in enumerate(names):
        below = place < first and name.partition(".")[0] == tower
        layer = number[name] + 1 if name in number else 0 if below else depth + 1
        shares[name] = decay ** (depth + 1 - layer)
    return shares


def set_drop_path(module: nn.Module, rate: float) -> None:
    """Skip branches of a model of timm in training, the more the higher up.

    Raises:
        ValueError: not a rate from 0 up to but below 1, or the model has no branches to skip.
    """
    if not 0 <= rate < 1:
        raise ValueError(f"drop_path must be from 0 up to but below 1, not {rate}.")
    blocks = [one for one in module.modules() if any(hasattr(one, name) for name in _BRANCHES)]
    if rate and not blocks:
        raise ValueError("drop_path skips branches of blocks, and this encoder has none: set it to 0.")
    for place, block in enumerate(blocks):
        share = rate * place / max(1, len(blocks) - 1)
        for name in _BRANCHES:
            if isinstance(getattr(block, name, None), nn.Identity | DropPath):
                setattr(block, name, DropPath(share) if share else nn.Identity())
