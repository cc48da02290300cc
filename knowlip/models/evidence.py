"""Where in an image the evidence of an answer or a word lies: heat maps of attention and of gradients (paper, Fig. 16).

A word of a text is an answer too: of the text with [MASK] in its place.

*Attention*: the weights that the hole's token gives the image's patches, mean of layers and heads. It shows where the
text side looks, which need not be where the answer comes from: the readout and the image tower have gathered it before.

*Gradient*: how much the answer's log-probability depends on what the image tower computed in each place: the norm over
channels of gradient times activation, without the mean over places that Grad-CAM (Selvaraju et al., ICCV 2017) takes
(as in HiResCAM, Draelos and Carin, 2020): a mean over the whole image loses small targets. It is taken where the tower
begins, whose cells are fine, and where it ends, which knows what it sees, and both are multiplied.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from knowlip.models.attention import image_attention, patch_tokens
from knowlip.models.map_tower import MapTower
from knowlip.models.rank import log_p_of
from knowlip.models.text import first_holes
from knowlip.models.tokenizer import pad
from knowlip.models.towers import Towers
from knowlip.models.vision import grid_of

EvidenceKind = Literal["gradient", "attention"]
_BLUR_CELLS: Final = 0.25
"""Standard deviation, in cells of the tower's end, by which the map of its beginning is smoothed: speckle lies in
single cells of it."""


def evidence_maps(
    model: Towers,
    pixels_BCSS: Tensor,
    width_m_B: Tensor,
    prompts: Sequence[str],
    answers: Sequence[str],
    kind: EvidenceKind = "gradient",
) -> np.ndarray:
    """One heat map an answer: float32 (B, S, S), at least 0, at most 1; all 0 where nothing in the image matters.

    Args:
        model: in evaluation mode.
        pixels_BCSS: of :meth:`Towers.prepare`.
        width_m_B: width of each image on the ground in metres, NaN where it is not known.
        prompts: questions, or texts with one [MASK], one an image.
        answers: whose evidence is sought. "attention" does not depend on them.
        kind: how.

    Raises:
        ValueError: no such kind, a model that reads no prompt, or an answer that is empty or longer than it writes.
    """
    if kind not in get_args(EvidenceKind):
        raise ValueError(f"Evidence is shown by {' or '.join(get_args(EvidenceKind))}, not {kind!r}.")
    if model.config.text.decoder_reads == "image":
        raise ValueError('This model\'s decoder reads no text, it only captions (text.decoder_reads is "image").')
    side = pixels_BCSS.shape[-1]
    if kind == "attention":
        maps = [_resized(_attention(model, pixels_BCSS, width_m_B, prompts), side)]
    else:
        *begin, end = gradient_maps(model, pixels_BCSS, width_m_B, prompts, answers)
        cell = side / end.shape[-1]
        maps = [*(_blurred(_resized(one, side), _BLUR_CELLS * cell) for one in begin), _resized(end, side)]
    found = torch.ones_like(maps[0])
    for one in maps:
        found = found * one / one.amax((1, 2), keepdim=True).clamp(min=torch.finfo(one.dtype).tiny)
    found = found / found.amax((1, 2), keepdim=True).clamp(min=torch.finfo(found.dtype).tiny)
    return found.cpu().numpy().astype(np.float32)


def _attention(model: Towers, pixels: Tensor, width_m_B: Tensor, prompts: Sequence[str]) -> Tensor:
    """(B, rows, columns) of patches."""
    with torch.inference_mode():
        tokens, _ = model.encode_images(pixels, width_m_B)
        ids, keep = model.frame([prompt or "[MASK]" for prompt in prompts], grounded=True)
        memory = model.text_encoder.image_key_values(tokens)
        rows = torch.arange(len(ids), device=ids.device)
        weights_RLHN = image_attention(model, ids, keep, memory, rows, first_holes(ids, model.tokenizer.mask))
    at, grid = patch_tokens(model)
    return weights_RLHN[..., at].mean((1, 2)).unflatten(1, grid).clone()


def gradient_maps(
    model: Towers, pixels_BCSS: Tensor, width_m_B: Tensor, prompts: Sequence[str], answers: Sequence[str]
) -> list[Tensor]:
    """Maps (B, h, w) where the image tower begins and where it ends, each in its own cells: the norm over channels of
    the gradient of the answer's log-probability times the activation. Arguments as of :func:`evidence_maps`."""
    tokenizer, longest = model.tokenizer, model.config.text.max_length
    framed = [[tokenizer.dec, *tokenizer.ids(answer), tokenizer.sep] for answer in answers]
    if wrong := next((one for one, ids in zip(answers, framed) if not 2 < len(ids) <= longest + 1), None):
        raise ValueError(f"The answer {wrong!r} is longer than the model's {longest} tokens.")
    if any(len(ids) == 2 for ids in framed):
        raise ValueError("There is no evidence of an empty answer.")
    stages, caught = _stages(model), {}

    def catch(name: int) -> Callable[[nn.Module, object, Tensor], Tensor]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
            # Where no weight before it is trained, the graph begins here.
            caught[name] = output if output.requires_grad else output.detach().requires_grad_()
            return caught[name]

        return hook

    hooks = [module.register_forward_hook(catch(name)) for name, (module, _) in enumerate(stages)]
    try:
        with torch.inference_mode(False), torch.enable_grad():
            tokens, _ = model.encode_images(pixels_BCSS.clone(), width_m_B.clone())
            ids, real = pad(framed, model.device)
            log_p = log_p_of(model, ids, real, *model.read(tokens, prompts))
            # Rows do not depend on each other: the gradient of their sum is the gradient of each.
            gradients = torch.autograd.grad(log_p.sum(), [caught[name] for name in range(len(stages))])
    finally:
        for one in hooks:
            one.remove()
    return [
        as_map((gradient * caught[name]).detach().float())
        for name, (gradient, (_, as_map)) in enumerate(zip(gradients, stages))
    ]


def _stages(model: Towers) -> list[tuple[nn.Module, Callable[[Tensor], Tensor]]]:
    """Modules of the image tower from its beginning to its end, and what makes a map (B, h, w) of their outputs."""
    if model.stem is not None:  # all that is known of the image goes through it
        return [(model.stem.down[1], lambda x: x.norm(dim=1)), (model.stem, lambda x: x.norm(dim=1))]
    _, grid, _ = grid_of(model.visual_encoder)
    count = grid[0] * grid[1]

    def patches(x: Tensor) -> Tensor:
        return x.flatten(1, -2).norm(dim=2)[:, -count:].unflatten(1, grid)

    if isinstance(model.visual_encoder, MapTower):
        return [(model.visual_encoder, patches)]
    embed = model.visual_encoder.patch_embed
    assert isinstance(embed, nn.Module)
    return [(embed, patches), (model.visual_encoder, patches)]


def _resized(maps_BHW: Tensor, side: int) -> Tensor:
    return F.interpolate(maps_BHW[:, None].float(), (side, side), mode="bilinear", align_corners=False)[:, 0]


def _blurred(maps_BSS: Tensor, sigma: float) -> Tensor:
    """Smoothed by a Gaussian."""
    reach = max(1, round(3 * sigma))
    at = torch.arange(-reach, reach + 1, device=maps_BSS.device, dtype=maps_BSS.dtype)
    weight = torch.exp(-(at**2) / (2 * sigma**2))
    weight = weight / weight.sum()
    padded = F.pad(maps_BSS[:, None], (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, weight[None, None, :, None]), weight[None, None, None])[:, 0]
