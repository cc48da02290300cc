"""How the `openai` annotator asks: kept apart from the annotator so that reading a config needs no client library."""

from dataclasses import asdict, dataclass, field
from typing import Any

from knowlip.text.prompt import LAYERS
from knowlip.vocabulary import DIMENSIONS

IMAGE_FORMATS = ("jpeg", "webp")
RESPONSE_FORMATS = ("json_schema", "json_object", "text")


@dataclass(frozen=True)
class OpenAIOptions:
    """How to ask. The key is not among these: it is read from the environment variable OPENAI_API_KEY."""

    layers: tuple[str, ...] = tuple(LAYERS)
    """Prompt layers to send, names in `prompt.LAYERS`."""
    instruction_set: str = ""
    """"ground", "marine" or "terrain" for every tile; empty = the model chooses tile by tile."""
    geographic_hint: bool = True
    """Send coordinates and neighbours."""
    parent_text: bool = True
    """Send the eight sub-texts of the direct parent."""
    guided: bool = True
    """False sends the unguided baseline prompt."""
    image_side: int = 768
    """Longest side in pixels of the image that is sent; smaller tiles are sent as they are."""
    image_format: str = "jpeg"
    """"jpeg" or "webp"."""
    response_format: str = "json_schema"
    """"json_schema" (strict), "json_object", or "text" for servers that know neither."""
    temperature: float = 0.0
    max_tokens: int = 1500
    """Longest answer."""
    seed: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    """Merged over the parameters of the request; null drops one. Reasoning models of OpenAI want for example
    {"temperature": null, "max_tokens": null, "max_completion_tokens": 6000}."""
    timeout_s: float = 120.0
    """Per request."""
    retries: int = 5
    """How often a request is repeated after 429, 5xx, a timeout or a broken connection."""
    backoff_s: float = 1.0
    """First waiting time; doubles with every retry up to 60 s, each drawn between half and whole."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.layers if name not in LAYERS]
        if unknown:
            raise ValueError(f"There is no prompt layer {unknown[0]!r}; use {', '.join(LAYERS)}.")
        if self.instruction_set and self.instruction_set not in DIMENSIONS:
            raise ValueError(f"There is no instruction set {self.instruction_set!r}; use {', '.join(DIMENSIONS)}.")
        if self.image_format not in IMAGE_FORMATS:
            raise ValueError(f"The image format is {self.image_format!r}; use {' or '.join(IMAGE_FORMATS)}.")
        if self.response_format not in RESPONSE_FORMATS:
            raise ValueError(f"The response format is {self.response_format!r}; use {', '.join(RESPONSE_FORMATS)}.")
        if self.image_side < 32 or self.max_tokens < 1 or self.timeout_s <= 0:
            raise ValueError("image_side must be 32 or more, max_tokens and timeout_s must be positive.")
        if self.retries < 0 or self.backoff_s < 0:
            raise ValueError("retries and backoff_s must not be negative.")

    def answer_settings(self) -> dict[str, Any]:
        """The settings that an answer depends on: not the patience."""
        settings = {**asdict(self), "layers": list(self.layers)}
        return {name: value for name, value in settings.items() if name not in ("timeout_s", "retries", "backoff_s")}

    def parameters(self, model: str) -> dict[str, Any]:
        """Everything of a request but its messages: model, sampling, and the form of the answer."""
        from knowlip.text.answer import answer_schema

        parameters: dict[str, Any] = {
            "model": model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }
        if self.response_format == "json_schema":
            schema = {"name": "sub_texts", "strict": True, "schema": answer_schema(self.instruction_set or None)}
            parameters["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.response_format == "json_object":
            parameters["response_format"] = {"type": "json_object"}
        parameters |= self.extra
        return {name: value for name, value in parameters.items() if value is not None}
