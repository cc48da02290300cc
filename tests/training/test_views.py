"""Views: where crops are drawn, what they show, and that chance is the same for a row wherever it is computed."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from knowlip.training.augment import AugmentConfig, GreyScale
from knowlip.training.views import ViewConfig, ViewMaker

STILL = AugmentConfig(gain_db=0, speckle_looks=0)


def maker(tiles: Tensor, **changes: object) -> ViewMaker:
    names = {"quantiser": ["linear"] * len(tiles), "quantiser_lo": np.nan, "quantiser_hi": np.nan}
    settings = {"augment": STILL, "content": 0.0, **changes}
    seeds = torch.arange(len(tiles)) * 1_000_003
    return ViewMaker(tiles, seeds, GreyScale.of(pd.DataFrame(names)), ViewConfig(**settings))  # type: ignore[arg-type]


def speckle(count: int, side: int, level: float = 40) -> Tensor:
    chance = np.random.default_rng(0)
    return torch.from_numpy(
        (level * np.sqrt(chance.gamma(4, 1 / 4, (count, side, side)))).clip(1, 255).astype(np.uint8)
    )


def test_a_crop_is_its_box_of_the_tile() -> None:
    ramp = torch.arange(1, 65)[None, None, :].expand(3, 64, 64).to(torch.uint8)
    found = maker(ramp, area=(0.25, 0.5), proposals=1)
    box = found.boxes(found.seed_B + 64, (0.25, 0.5))
    image = found.view(0, 32)
    for left, _, wide, _, row in zip(*box.T, image):
        columns = (left + wide * (torch.arange(32) + 0.5) / 32) * 64 - 0.5  # where the centres of its pixels lie
        torch.testing.assert_close(row[10].float(), 1 + columns, atol=0.51, rtol=0)
        share = float(wide) * 64
        assert 0.25**0.5 * 64 * 0.86 < share < 64


def test_shares_and_aspects_stay_in_their_range() -> None:
    found = maker(speckle(200, 32), area=(0.2, 0.6), proposals=4)
    box = found.boxes(found.seed_B, (0.2, 0.6))
    area, aspect = box[:, 2] * box[:, 3], box[:, 2] / box[:, 3]
    assert 0.19 < float(area.min()) < 0.25
    assert 0.5 < float(area.max()) <= 0.6 + 1e-6
    assert 0.74 < float(aspect.min()) < float(aspect.max()) < 1.34
    assert float((box[:, :2] + box[:, 2:]).max()) <= 1 + 1e-6


def test_chance_belongs_to_the_row() -> None:
    tiles = speckle(6, 32)
    augment = AugmentConfig(gain_db=2, speckle_looks=4, flips=0.5, rotations=0.5)
    whole = maker(tiles, content=1.0, augment=augment)
    first, again = whole.view(1, 16), whole.view(1, 16)
    assert torch.equal(first, again)
    part = ViewMaker(tiles[1::2], whole.seed_B[1::2], whole.scale.rows(np.arange(1, 6, 2)), whole.config)
    assert torch.equal(part.view(1, 16), first[1::2])
    assert not torch.equal(whole.view(2, 16), first)


def test_crops_are_drawn_to_where_something_is() -> None:
    tiles = speckle(300, 48)
    tiles[:, 4:12, 4:12] = 255  # a target in one corner
    seen = {}
    for content in (0.0, 4.0):
        found = maker(tiles, content=content, proposals=8, area=(0.06, 0.1))
        box = found.boxes(found.seed_B, (0.06, 0.1)) * 48
        centre = box[:, :2] + box[:, 2:] / 2
        seen[content] = float(((centre - 8).abs().amax(1) < 10).float().mean())
    assert seen[4.0] > 2 * seen[0.0] > 0


def test_no_data_is_no_content_and_nothing_is_mixed_with_it() -> None:
    tiles = speckle(100, 32, 90)
    tiles[:, :, :18] = 0
    for content in (0.0, 2.0):
        found = maker(tiles, content=content, proposals=16, area=(0.05, 0.2), min_data=0.9)
        share = torch.stack([(one != 0).float().mean() for one in found.view(0, 16)])
        assert float((share > 0.85).float().mean()) > 0.9
    edge = maker(tiles, proposals=1, area=(1.0, 1.0)).view(0, 24)
    assert int(edge[edge != 0].min()) >= int(tiles[tiles != 0].min()), "no level is between data and none"


def test_a_tile_that_has_less_than_asked_gives_its_fullest_crop() -> None:
    tiles = torch.zeros(4, 32, 32, dtype=torch.uint8)
    tiles[:, :, 24:] = speckle(4, 32)[:, :, 24:]
    view = maker(tiles, proposals=32, area=(0.05, 0.3), min_data=1.0).view(0, 16)
    assert (view != 0).flatten(1).any(1).all()
    assert not maker(torch.zeros_like(tiles)).view(0, 16).any(), "and one without any data gives none"


def test_turns_and_flips_are_as_often_as_said() -> None:
    tiles = torch.zeros(400, 16, 16, dtype=torch.uint8) + 50
    tiles[:, :8, :8], tiles[:, :8, 8:] = 200, 100  # the bright corner, and which one is beside it
    augment = AugmentConfig(gain_db=0, speckle_looks=0, flips=0.5, rotations=0.6)
    view = maker(tiles, proposals=1, area=(1.0, 1.0), augment=augment).view(0, 16).float()
    corners = torch.stack([view[:, 0, 0], view[:, 0, -1], view[:, -1, -1], view[:, -1, 0]], 1)
    bright = corners.argmax(1)
    after = corners.gather(1, ((bright + 1) % 4)[:, None])[:, 0]
    assert float((after != 100).float().mean()) == pytest.approx(0.5, abs=0.08)
    ways = {(int(one), bool(two)) for one, two in zip(bright, after == 100)}
    assert len(ways) == 8


@pytest.mark.parametrize("changes", [{"area": (0.0, 1.0)}, {"area": (0.8, 0.2)}, {"proposals": 0}, {"min_data": 1.5}])
def test_settings_that_cannot_work(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="views"):
        ViewConfig(**changes)  # type: ignore[arg-type]
