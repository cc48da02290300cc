"""The count from sizes against PyTorch's count of what really ran."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig
from knowlip.models.flops import peak_flops
from knowlip.training.batch import Batch
from knowlip.training.losses import JointLoss, ObjectiveConfig


@pytest.mark.parametrize(("vision_width", "generation"), [(48, "infill"), (64, "infill"), (48, "lm")])
def test_the_count_is_that_of_what_ran(vision_width: int, generation: str) -> None:
    torch.manual_seed(0)
    tokenizer = TextTokenizer.train(["one two three four five six seven eight"] * 3, vocab_size=90)
    pairs, text, infilled, context, content = 8, 40, 6, 32, 20
    vision = VisionConfig(
        "vit_tiny_patch16_224", 48, {"patch_size": 8, "embed_dim": vision_width, "depth": 2, "num_heads": 4}
    )
    reads = {"infill": "text", "lm": "image"}[generation]
    sizes = TextConfig(
        len(tokenizer), width=64, layers=3, heads=4, mlp_width=128, max_length=64, dropout=0.0, decoder_reads=reads
    )  # type: ignore[arg-type]
    model = KnowLIP(ModelConfig(vision, sizes, embed_dim=32), tokenizer)
    objectives = ObjectiveConfig(itm_share=0.5, queue=100, generation=generation)  # type: ignore[arg-type]
    step = JointLoss(model, objectives)
    ids, everywhere = torch.randint(7, 40, (pairs, text)), torch.ones(pairs, text, dtype=torch.bool)
    batch = Batch(
        torch.randint(0, 256, (pairs, 48, 48), dtype=torch.uint8),
        torch.arange(pairs),
        torch.arange(pairs),
        (ids, everywhere),
        (ids[:infilled, :context], everywhere[:infilled, :context]),
        torch.zeros(infilled, dtype=torch.long),
        (ids[:infilled, : content + 1], everywhere[:infilled, : content + 1]),
        torch.rand(pairs, 2),
    )
    # fused attention computes its scores a second time in the backward pass; what the model needs is counted once
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        step(batch, 0.4)[0]["loss"].backward()
    assert step.flops(batch) == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_peaks_of_devices() -> None:
    assert peak_flops("NVIDIA H200") == peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("NVIDIA A100-SXM4-80GB") == 312e12
    assert peak_flops("NVIDIA H100 PCIe") == 756e12
    assert peak_flops("NVIDIA L4") == 121e12
    assert peak_flops("NVIDIA L40S") == 362e12
    assert peak_flops("Tesla V100-SXM2-16GB") == 125e12
    assert peak_flops("NVIDIA RTX A4000") is None
    assert peak_flops("AMD EPYC") is None
