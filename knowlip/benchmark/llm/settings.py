"""Settings of `knowlip bench llm`."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.base.rows import BLIND
from knowlip.benchmark.llm.prompt import PromptKind


@dataclass(frozen=True)
class LlmOptions(OpenAIOptions):
    """How to ask. Settings of the annotator's prompts are not read."""

    image_format: str = "png"
    """"png" loses nothing, "jpeg" and "webp" are smaller."""
    max_tokens: int = 64
    """Longest answer. A model that thinks aloud needs room for it, or an `extra` that switches it off."""
    typical_output_tokens: int = 8
    """Of an answer, for estimates."""


@dataclass(frozen=True)
class BenchLlmConfig:
    """Whom to ask about which tiles."""

    dataset: Path
    """Folder of the data set."""
    model: str
    """Name of the model as the endpoint knows it."""
    out: Path
    """Folder for answers, ledger, replies.jsonl and results.json; the same command goes on in it."""
    base_url: str = ""
    """Address that ends in /v1; empty = environment variable OPENAI_BASE_URL, else OpenAI's own."""
    blind: bool = False
    """Send no image: what a language model makes of the questions alone. For models that see none, and as a floor."""
    prompt: PromptKind = "choices"
    """"choices" says what the image is and which answers there are; "question" sends the question's words alone, as to
    a model that was taught them (`knowlip serve`)."""
    metres_per_pixel: bool = False
    """Send the size of a pixel as a parameter of that name, which `knowlip serve` reads and others refuse."""
    other_image: bool = False
    """Ask everything again with the image of another tile: what a model answers that does not look. Costs the same
    again."""
    split: str = "test"
    """Which tiles are asked about."""
    name: str = ""
    """Of the data set in rows; by default its folder's."""
    label: str = ""
    """Of the model in rows; by default the name of `model` without a path."""
    questions_per_type: int = 200
    """Most questions of each of the six types, the same ones that `knowlip evaluate` asks."""
    seed: int = 0
    """Of wordings, regions asked about, and the choice of questions."""
    concurrency: int = 8
    """Requests in flight."""
    retry_failed: bool = False
    """Also ask again what was paid and brought nothing that can be read as a reply."""
    dry_run: bool = False
    """Only estimate requests, tokens and cost; nothing is asked, paid or written."""
    max_cost: float = 0.0
    """Stop before all runs in `out` together could cost more; needs openai.price_in and price_out."""
    openai: LlmOptions = field(default_factory=LlmOptions)
    """Request settings."""

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("Give the name of a model as the endpoint knows it (--model).")
        if self.prompt not in ("choices", "question"):
            raise ValueError(f"prompt is {self.prompt!r}; use choices or question.")
        if self.blind and (self.other_image or self.metres_per_pixel):
            raise ValueError("blind sends no image: other_image and metres_per_pixel need one.")
        if min(self.questions_per_type, self.concurrency) < 1 or self.max_cost < 0:
            raise ValueError("questions_per_type and concurrency must be 1 or more, max_cost must not be negative.")

    @property
    def options(self) -> LlmOptions:
        """How to ask; without an image none is counted."""
        return replace(self.openai, image_tokens=0) if self.blind else self.openai

    @property
    def encoder(self) -> str:
        """Name of the model in rows."""
        label = self.label or self.model.rstrip("/").rsplit("/", 1)[-1]
        return BLIND + label if self.blind else label
