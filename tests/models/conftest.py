import pytest
import torch

from knowlip.models import KnowLIP, ModelConfig, TextConfig, TextTokenizer, VisionConfig

SENTENCES = ["Count: three ships are visible.", "Location: upper left and center right.", "Water: about 40% water."]


@pytest.fixture(scope="session")
def tokenizer() -> TextTokenizer:
    return TextTokenizer.train(SENTENCES * 3, vocab_size=200)


@pytest.fixture
def model(tokenizer: TextTokenizer) -> KnowLIP:
    torch.manual_seed(0)
    vision = VisionConfig("vit_tiny_patch16_224", 32, {"patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2})
    text = TextConfig(len(tokenizer), width=32, layers=2, heads=2, mlp_width=64, max_length=48, dropout=0.0)
    model = KnowLIP(ModelConfig(vision, text, embed_dim=16), tokenizer).eval()
    for parameter in model.parameters():  # BERT's 0.02 makes every difference tiny: spread the weights
        if parameter.ndim >= 2:
            torch.nn.init.normal_(parameter, std=0.2)
    return model
