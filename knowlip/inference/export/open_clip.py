"""Both towers in open_clip's layout: `open_clip_config.json` and `open_clip_model.safetensors`.

What open_clip offers and ours needs: its own Vision Transformer of any size (three channels, patches without bias, a
projection without bias), and a BERT of Hugging Face read at its first token (`cls_last_hidden_state_pooler`) with a
projection without bias. So one channel becomes three equal ones of a third of the weight, the bias of the patches goes
to the positions, and the bias of a projection to that of the layer norm before it. All of that is exact but for
rounding; what cannot be said so (a stem, a readout, registers, other blocks) is refused.
"""

import json
import math
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from timm.layers import LayerScale, Mlp
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import Tensor, nn

from knowlip.base.files import write_json
from knowlip.models.tokenizer import framed_tokenizer
from knowlip.models.towers import Towers

CONFIG: Final = "open_clip_config.json"
WEIGHTS: Final = "open_clip_model.safetensors"
FILES: Final = (CONFIG, WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json")
_FOLDED: Final = 1e-5
"""Largest error of a folded bias, beside the largest entry of it."""
_INSTEAD: Final = "export it as ONNX or for transformers instead."


def write_open_clip(part: Path, model: Towers, name: str) -> None:
    """Write the files.

    Args:
        part: folder to write to.
        model: with a plain Vision Transformer.
        name: under which open_clip finds the BERT's `config.json`: the final folder, or USER/REPO of the hub.

    Raises:
        ValueError: what open_clip has no place for; the sentence names it.
    """
    tower = plain_tower(model)
    weights, vision = _image_side(model, tower)
    text, bert = _text_side(model)
    mean, std, side = model.config.vision.mean, model.config.vision.std, model.config.vision.image_size
    longest = model.config.text.max_length
    act = type(_blocks(tower)[0].mlp.act).__name__
    # open_clip finds the BERT by name, wherever its own config lies: so the name is a full path or a repository.
    config = {
        "embed_dim": model.config.embed_dim,
        "vision_cfg": vision,
        "text_cfg": {
            "context_length": longest,
            "vocab_size": model.config.text.vocab_size,
            **{"hf_model_name": name, "hf_tokenizer_name": name, "hf_model_pretrained": False},
            **{"hf_proj_type": "linear", "hf_pooler_type": "cls_last_hidden_state_pooler"},
        },
        "quick_gelu": act == "QuickGELU",
        "custom_text": True,
    }
    shown = {"size": [side, side], "mean": [mean] * 3, "std": [std] * 3}
    shown |= {"interpolation": "bilinear", "resize_mode": "squash"}
    write_json(part / CONFIG, {"model_cfg": config, "preprocess_cfg": shown})
    weights |= {f"text.{key}": value for key, value in text.items()}
    weights["logit_scale"] = -model.temp.detach().double().log()
    save_file({key: one.float().cpu().contiguous() for key, one in weights.items()}, part / WEIGHTS, {"format": "pt"})
    write_json(part / "config.json", bert)
    tokenizer = framed_tokenizer(model.tokenizer)
    tokenizer.no_padding()
    tokenizer.save(str(part / "tokenizer.json"))
    special = {f"{one}_token": f"[{one.upper()}]" for one in ("pad", "unk", "cls", "sep", "mask")}
    said = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": longest, **special}
    (part / "tokenizer_config.json").write_text(json.dumps(said, indent=1))


def plain_tower(model: Towers) -> VisionTransformer:
    """The image tower, where open_clip's Vision Transformer computes the same.

    Raises:
        ValueError: it does not; the sentence names what is in the way.
    """
    config, tower = model.config, model.visual_encoder
    if config.vision.stem:
        raise ValueError(f"open_clip has no place for a convolutional stem (model.vision.stem): {_INSTEAD}")
    if config.readout:
        raise ValueError(f"open_clip has no place for a readout (model.readout): {_INSTEAD}")
    if type(tower) is not VisionTransformer:
        raise ValueError(f"open_clip has no {type(tower).__name__} whose sizes can be set: {_INSTEAD}")
    why = next((said for wrong, said in _differences(tower) if wrong), None)
    if why is not None:
        raise ValueError(f"open_clip's Vision Transformer {why}: {_INSTEAD}")
    return tower


def _differences(tower: VisionTransformer) -> list[tuple[bool, str]]:
    """Whether each thing is so in which timm's Vision Transformer may differ from open_clip's, and what to say."""
    blocks, embed = _blocks(tower), tower.patch_embed
    norms = [one for one in tower.modules() if isinstance(one, nn.LayerNorm)]
    acts = {type(block.mlp.act).__name__ if isinstance(block, Block) else "" for block in blocks}
    return [
        (tower.cls_token is None, "has a class token, and this one has none"),
        (tower.reg_token is not None, "has no register tokens"),
        (tower.pos_embed is None, "has learned positions"),
        (not isinstance(tower.norm, nn.LayerNorm), "has a layer norm behind its blocks"),
        (embed.patch_size[0] != embed.patch_size[1] or not isinstance(embed.norm, nn.Identity), "has plain patches"),
        (not all(type(one) is Block for one in blocks), "has blocks of one kind"),
        (not all(type(one.attn) is Attention and _plain(one.attn) for one in blocks), "has plain attention"),
        (not all(type(one.mlp) is Mlp and isinstance(one.mlp.norm, nn.Identity) for one in blocks), "has a plain MLP"),
        (not acts <= {"GELU", "GELUTanh", "QuickGELU"} or len(acts) != 1, "has GELU and QuickGELU alone"),
        (len({one.eps for one in norms}) != 1, "has one epsilon for all layer norms"),
        (any(isinstance(one, nn.Linear) and one.bias is None for one in tower.modules()), "has biases everywhere"),
    ]


def _blocks(tower: VisionTransformer) -> list[Any]:
    """Its blocks, whose parts timm does not type."""
    return list(tower.blocks)


def _plain(attention: Attention) -> bool:
    """Whether it is softmax attention and nothing else."""
    extras = (attention.q_norm, attention.k_norm, getattr(attention, "norm", nn.Identity()))
    same = math.isclose(attention.scale, attention.head_dim**-0.5)
    return same and all(isinstance(one, nn.Identity) for one in extras) and isinstance(attention.proj, nn.Linear)


def _image_side(model: Towers, tower: VisionTransformer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights of `visual`, and `vision_cfg`."""
    embed, width, blocks = tower.patch_embed, tower.embed_dim, _blocks(tower)
    block = blocks[0]
    state = {name: one.detach().double() for name, one in tower.state_dict().items()}
    positions = state.pop("pos_embed")[0]
    if len(positions) == embed.num_patches:  # no_embed_class: the class token has no position
        positions = torch.cat([positions.new_zeros(1, width), positions])
    if (bias := state.pop("patch_embed.proj.bias", None)) is not None:
        positions[1:] += bias
    kernel = state.pop("patch_embed.proj.weight")
    found = {
        "conv1.weight": kernel.expand(-1, 3, -1, -1) / 3,
        "class_embedding": state.pop("cls_token")[0, 0],
        "positional_embedding": positions,
        "proj": model.vision_proj.weight.detach().double().T,
    }
    shift = _before(model.vision_proj, "vision_proj")
    found["ln_post.weight"], found["ln_post.bias"] = state.pop("norm.weight"), state.pop("norm.bias") + shift
    pre = isinstance(tower.norm_pre, nn.LayerNorm)
    if pre:
        found |= {f"ln_pre.{one}": state.pop(f"norm_pre.{one}") for one in ("weight", "bias")}
    for at in range(len(blocks)):
        for ours, theirs in _BLOCK.items():
            if (one := state.pop(f"blocks.{at}.{ours}", None)) is not None:
                found[f"transformer.resblocks.{at}.{theirs}"] = one
    if state:  # whatever this file does not know of is not dropped without a word
        raise ValueError(f"open_clip's Vision Transformer has no place for {min(state)}: {_INSTEAD}")
    vision = {
        "image_size": model.config.vision.image_size,
        "patch_size": embed.patch_size[0],
        "width": width,
        "layers": len(blocks),
        "head_width": block.attn.head_dim,
        "mlp_ratio": block.mlp.fc1.out_features / width,
        "no_ln_pre": not pre,
        "norm_kwargs": {"eps": tower.norm.eps},
    }
    if isinstance(block.ls1, LayerScale):
        vision["ls_init_value"] = 1.0
    if type(block.mlp.act).__name__ == "GELUTanh":
        vision["act_kwargs"] = {"approximate": "tanh"}
    if int(width * vision["mlp_ratio"]) != block.mlp.fc1.out_features:
        raise ValueError(f"open_clip cannot make an MLP of {block.mlp.fc1.out_features} channels: {_INSTEAD}")
    return {f"visual.{name}": one for name, one in found.items()}, vision


_BLOCK: Final = {
    **{f"norm{at}.{one}": f"ln_{at}.{one}" for at in (1, 2) for one in ("weight", "bias")},
    **{f"attn.qkv.{one}": f"attn.in_proj_{one}" for one in ("weight", "bias")},
    **{f"attn.proj.{one}": f"attn.out_proj.{one}" for one in ("weight", "bias")},
    **{f"mlp.fc1.{one}": f"mlp.c_fc.{one}" for one in ("weight", "bias")},
    **{f"mlp.fc2.{one}": f"mlp.c_proj.{one}" for one in ("weight", "bias")},
    **{f"ls{at}.gamma": f"ls_{at}.gamma" for at in (1, 2)},
}
"""timm's name of a block's weight -> open_clip's."""


def _text_side(model: Towers) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights of `text`, and the `config.json` of its BERT."""
    config = model.config.text
    state = {name: one.detach().double() for name, one in model.text_encoder.state_dict().items()}
    found = {f"transformer.{name}": one for name, one in state.items() if ".crossattention." not in name}
    last = f"transformer.encoder.layer.{config.layers - 1}.output.LayerNorm.bias"
    found[last] = found[last] + _before(model.text_proj, "text_proj")
    found["transformer.embeddings.token_type_embeddings.weight"] = torch.zeros(2, config.width)
    found["proj.weight"] = model.text_proj.weight.detach()
    bert = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": config.vocab_size,
        "hidden_size": config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_width,
        "max_position_embeddings": config.max_length,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": config.dropout,
        "pad_token_id": model.tokenizer.pad,
    }
    return found, bert


def _before(projection: nn.Linear, name: str) -> Tensor:
    """What is added before a projection so that it does the same without its bias.

    Raises:
        ValueError: there is no such thing: the embedding is wider than what is projected.
    """
    weight, bias = projection.weight.detach().double(), projection.bias.detach().double()
    shift = torch.linalg.lstsq(weight.cpu(), bias.cpu()[:, None], driver="gelsd").solution[:, 0]
    error = float((weight.cpu() @ shift - bias.cpu()).abs().max())
    if error > _FOLDED * max(float(bias.abs().max()), 1e-12):
        raise ValueError(
            f"open_clip projects without a bias, and that of {name} ({weight.shape[1]} to {weight.shape[0]} numbers) "
            f"cannot be put before it: {_INSTEAD}"
        )
    return shift.to(weight.device)
