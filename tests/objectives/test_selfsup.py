"""Self-supervised objectives against loops in float64, and against the official code where it lies beside:
KNOWLIP_OFFICIAL names a folder with checkouts of facebookresearch/{mae,moco-v3,dino}, bytedance/ibot and
waterdisappear/SAR-JEPA, each under its own name."""

import ast
import math
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from knowlip.objectives import (
    dino_loss,
    gradient_targets,
    ibot_loss,
    jepa_loss,
    mae_loss,
    moco_loss,
    moved_center,
    patch_mean_loss,
    sharpened,
)


def official(path: str, *names: str, **given: Any) -> Any:
    """Classes of an official file, without running the rest of it (it imports what is not here)."""
    file = Path(os.environ.get("KNOWLIP_OFFICIAL", "/nowhere")) / path
    if not file.is_file():
        pytest.skip(f"KNOWLIP_OFFICIAL has no {path}")
    tree = ast.parse(file.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in names]
    space: dict[str, Any] = {"torch": torch, "nn": torch.nn, "F": F, "np": np, "math": math, **given}
    exec(compile(tree, str(file), "exec"), space)  # the file that somebody named
    return SimpleNamespace(**{name: space[name] for name in names})


@pytest.fixture
def chance() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def normal(chance: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=chance)


# ---- MAE ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", [True, False])
def test_mae_by_loops_over_what_has_data(norm: bool, chance: torch.Generator) -> None:
    said, pixels = normal(chance, 3, 4, 9), normal(chance, 3, 4, 9)
    hidden = torch.tensor([[True, True, False, True], [False, True, False, False], [False] * 4])
    known = torch.rand(3, 4, 9, generator=chance) > 0.3
    known[0, 1] = False  # a patch of no data is no target
    images = []
    for image in range(3):
        patches = []
        for patch in range(4):
            places = [place for place in range(9) if known[image, patch, place]]
            if not hidden[image, patch] or not places:
                continue
            values = [float(pixels[image, patch, place]) for place in places]
            mean = sum(values) / len(values)
            variance = sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1)
            want = [(value - mean) / math.sqrt(variance + 1e-6) if norm else value for value in values]
            error = [(float(said[image, patch, place]) - one) ** 2 for place, one in zip(places, want)]
            patches.append(sum(error) / len(error))
        images.append(sum(patches) / max(1, len(patches)))
    found = mae_loss(said, pixels, hidden, known, norm)
    assert float(found) == pytest.approx(sum(images) / 3, rel=1e-4)


def test_mae_is_that_of_the_official_code(chance: torch.Generator) -> None:
    theirs = official("mae/models_mae.py", "MaskedAutoencoderViT").MaskedAutoencoderViT
    images, mask = normal(chance, 2, 3, 32, 32), torch.zeros(2, 16)
    mask[0, :12], mask[1, 4:] = 1, 1
    for norm in (True, False):
        model = SimpleNamespace(norm_pix_loss=norm, patch_embed=SimpleNamespace(patch_size=(8, 8)))
        pixels = theirs.patchify(model, images)
        model.patchify = lambda _, kept=pixels: kept
        said = normal(chance, *pixels.shape)
        torch.testing.assert_close(
            mae_loss(said, pixels, mask.bool(), norm=norm), theirs.forward_loss(model, images, said, mask)
        )


def test_the_floor_of_mae_is_knowing_the_mean(chance: torch.Generator) -> None:
    pixels, hidden = normal(chance, 2, 4, 16) + 3, torch.ones(2, 4, dtype=torch.bool)
    mean = pixels.mean(-1, keepdim=True).expand_as(pixels)
    floor = patch_mean_loss(pixels, hidden, norm=False)
    torch.testing.assert_close(floor, mae_loss(mean, pixels, hidden, norm=False))
    assert float(patch_mean_loss(pixels, hidden)) == pytest.approx(15 / 16, abs=1e-4)


def test_pixels_without_data_are_no_target(chance: torch.Generator) -> None:
    said, pixels, hidden = normal(chance, 1, 2, 9), normal(chance, 1, 2, 9), torch.ones(1, 2, dtype=torch.bool)
    known = torch.ones(1, 2, 9, dtype=torch.bool)
    known[0, 0, 4:] = False
    other = pixels.clone()
    other[0, 0, 4:] = 99
    torch.testing.assert_close(mae_loss(said, pixels, hidden, known), mae_loss(said, other, hidden, known))
    assert mae_loss(said, pixels, hidden, torch.zeros_like(known)) == 0


# ---- MoCo v3 --------------------------------------------------------------------------------------------------------


def test_moco_by_loops(chance: torch.Generator) -> None:
    query, key = normal(chance, 3, 5).double(), normal(chance, 6, 5).double()
    positive = torch.tensor([4, 0, 2])
    total = 0.0
    for number in range(3):
        cosines = [float(query[number] @ one / query[number].norm() / one.norm()) / 0.2 for one in key]
        total += math.log(sum(map(math.exp, cosines))) - cosines[int(positive[number])]
    assert float(moco_loss(query, key, positive, 0.2)) == pytest.approx(0.4 * total / 3, rel=1e-5)


def test_moco_is_that_of_the_official_code(chance: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = official("moco-v3/moco/builder.py", "MoCo", concat_all_gather=lambda x: x).MoCo
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(Tensor, "cuda", lambda self: self)
    query, key = normal(chance, 4, 8), normal(chance, 4, 8)
    found = moco_loss(query, key, torch.arange(4), 0.2)
    torch.testing.assert_close(found, theirs.contrastive_loss(SimpleNamespace(T=0.2), query, key))


# ---- DINO and iBOT --------------------------------------------------------------------------------------------------


def test_dino_by_loops(chance: torch.Generator) -> None:
    student, teacher, center = normal(chance, 3, 2, 5), normal(chance, 2, 2, 5), normal(chance, 5)
    total, number = 0.0, 0
    for of in range(2):
        for view in range(3):
            if view == of:
                continue
            for image in range(2):
                p = [math.exp(float(x - c) / 0.04) for x, c in zip(teacher[of, image], center)]
                q = [math.exp(float(x) / 0.1) for x in student[view, image]]
                total -= sum(a / sum(p) * math.log(b / sum(q)) for a, b in zip(p, q))
                number += 1
    assert float(dino_loss(student, teacher, center, 0.1, 0.04)) == pytest.approx(total / number, rel=1e-4)


def test_ibot_by_loops(chance: torch.Generator) -> None:
    student, teacher, center = normal(chance, 4, 5), normal(chance, 4, 5), normal(chance, 5)
    image = torch.tensor([0, 0, 0, 2])
    losses = [
        float(-(sharpened(teacher[n], center, 0.07) * (student[n] / 0.1).log_softmax(-1)).sum()) for n in range(4)
    ]
    want = (sum(losses[:3]) / 3 + 0 + losses[3]) / 3
    assert float(ibot_loss(student, teacher, image, 3, center, 0.1, 0.07)) == pytest.approx(want, rel=1e-5)
    assert ibot_loss(student[:0], teacher[:0], image[:0], 3, center, 0.1, 0.07) == 0


def test_dino_and_ibot_are_those_of_the_official_code(chance: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda x: x)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 1)
    dist = {"dist": torch.distributed}
    dino = official("dino/main_dino.py", "DINOLoss", **dist).DINOLoss(6, 4, 0.04, 0.04, 0, 1)
    ibot = official("ibot/main_ibot.py", "iBOTLoss", **dist).iBOTLoss(6, 6, 2, 2, 0.04, 0.04, 0.07, 0.07, 0, 1)
    center, center2 = normal(chance, 6), normal(chance, 6)
    dino.center, ibot.center, ibot.center2 = center[None].clone(), center[None].clone(), center2[None, None].clone()
    student, teacher = normal(chance, 4, 3, 6), normal(chance, 2, 3, 6)
    ours = dino_loss(student, teacher, center, 0.1, 0.04)
    torch.testing.assert_close(ours, dino(student.flatten(0, 1), teacher.flatten(0, 1), 0))
    torch.testing.assert_close(moved_center(center, teacher.flatten(0, 1).mean(0), 0.9), dino.center[0])

    patches, seen = normal(chance, 2, 3, 16, 6), normal(chance, 2, 3, 16, 6)
    mask = torch.rand(2, 3, 4, 4, generator=chance) > 0.6
    mask[0, 1] = False  # a view without a hidden patch
    theirs = ibot(
        (student[:2].flatten(0, 1), patches.flatten(0, 1)),
        (teacher.flatten(0, 1), seen.flatten(0, 1)),
        student[2:].flatten(0, 1),
        list(mask),
        0,
    )
    view, place = mask.flatten(0, 1).flatten(1).nonzero(as_tuple=True)
    hidden = patches.flatten(0, 1)[view, place], seen.flatten(0, 1)[view, place]
    torch.testing.assert_close(ibot_loss(*hidden, view, 6, center2, 0.1, 0.07), theirs["patch"])
    torch.testing.assert_close(ours, theirs["cls"])
    torch.testing.assert_close(moved_center(center2, seen.mean((0, 1, 2)), 0.9), ibot.center2[0, 0])


# ---- SAR-JEPA -------------------------------------------------------------------------------------------------------


def test_a_gradient_is_the_ratio_of_means_of_what_has_data(chance: torch.Generator) -> None:
    side, scale = 12, 3
    image, known = torch.rand(side, side, generator=chance), torch.rand(side, side, generator=chance) > 0.2
    value, sure = gradient_targets(image[None], known[None], (scale,))

    def mirrored(place: int) -> int:
        place = abs(place)
        return place if place < side else 2 * side - 2 - place

    for row, column in ((0, 0), (5, 7), (11, 4)):
        means, counts = [], []
        for rows, columns in (
            (range(-scale, 1), range(-scale, scale + 1)),
            (range(scale + 1), range(-scale, scale + 1)),
            (range(-scale, scale + 1), range(-scale, 1)),
            (range(-scale, scale + 1), range(scale + 1)),
        ):
            places = [(mirrored(row + y), mirrored(column + x)) for y in rows for x in columns]
            values = [float(image[place]) + 0.01 for place in places if known[place]]
            means.append(sum(values) / len(values))
            counts.append(len(values) / len(places))
        want = math.hypot(math.log(means[0] / means[1]), math.log(means[2] / means[3]))
        assert float(value[0, 0, row, column]) == pytest.approx(want, abs=1e-4)
        assert bool(sure[0, 0, row, column]) == (bool(known[row, column]) and min(counts) >= 0.5)


def test_gradients_do_not_see_gain_and_nothing_looks_into_no_data() -> None:
    chance = np.random.default_rng(0)
    image = torch.from_numpy(chance.gamma(4, 0.05, (1, 40, 40)).astype(np.float32)) + 0.05
    known = torch.ones(1, 40, 40, dtype=torch.bool)
    known[:, :, 30:] = False
    one, sure = gradient_targets(image, known)
    other, _ = gradient_targets(torch.where(known, image, 7.0), known)
    torch.testing.assert_close(one[sure], other[sure])
    assert not sure[:, :, :, 30:].any()
    brighter = gradient_targets(1.4 * image, known)[0]
    assert float((brighter - one)[sure].abs().max()) < 0.05, "but for the offset a gain changes nothing"


def test_gradients_are_those_of_the_official_code(chance: torch.Generator) -> None:
    kernel = official("SAR-JEPA/Pretraining/models_lomar.py", "GF").GF
    image = torch.rand(2, 48, 48, generator=chance)
    found, known = gradient_targets(image, torch.ones(2, 48, 48, dtype=torch.bool))
    assert known.all()
    for number, scale in enumerate((5, 9, 13, 17)):
        want = kernel(kensize=scale)(image[:, None])[:, 0]
        torch.testing.assert_close(found[:, number], want, rtol=1e-4, atol=1e-5)


def test_windows_larger_than_the_image_are_refused() -> None:
    with pytest.raises(ValueError, match="need images of more than that, not 16 px"):
        gradient_targets(torch.rand(1, 16, 16), torch.ones(1, 16, 16, dtype=torch.bool))


def test_jepa_by_loops_and_as_the_official_code(chance: torch.Generator) -> None:
    said, target = normal(chance, 2, 3, 4), normal(chance, 2, 3, 4)
    hidden = torch.tensor([[True, False, True], [True, True, False]])
    error = (said - target).square().mean(-1)  # of the official code: (loss * mask).sum() / mask.sum()
    torch.testing.assert_close(jepa_loss(said, target, hidden), (error * hidden).sum() / hidden.sum())
    known = torch.ones(2, 3, 4, dtype=torch.bool)
    known[0, 0] = False
    torch.testing.assert_close(jepa_loss(said, target, hidden, known), (error[0, 2] + error[1, :2].mean()) / 2)
