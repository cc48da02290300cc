"""How the `openai` annotator asks: kept apart from the annotator so that reading a config needs no client library."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from knowlip.annotators.openai.answer import answer_schema
from knowlip.annotators.openai.prompt import LAYERS, AnswerForm, Prompt, compose_prompt
from knowlip.annotators.types import TileRequest
from knowlip.language.dimensions import DIMENSIONS

IMAGE_FORMATS = ("jpeg", "webp", "png")
RESPONSE_FORMATS = ("json_schema", "json_object", "text")
_ASKED = (
    *("layers", "instruction_set", "geographic_hint", "parent_text", "guided", "image_side", "image_format"),
    *("response_format", "temperature", "max_tokens", "seed", "extra"),
)
"""Settings that an answer depends on; the others are of patience, pace and price."""


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
    """"jpeg", "webp", or "png", which loses nothing."""
    response_format: str = "json_schema"
    """"json_schema" (strict), "json_object", or "text" (nine lines) for servers that know neither."""
    temperature: float = 0.0
    """Of the sampling; 0 = the likeliest answer."""
    max_tokens: int = 1500
    """Longest answer."""
    seed: int = 0
    """Of the sampling, for endpoints that have one."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Merged over the parameters of the request; null drops one. Reasoning models of OpenAI want for example
    {"temperature": null, "max_tokens": null, "max_completion_tokens": 6000}."""
    timeout_s: float = 120.0
    """Per request, from sending it to the last byte of the answer."""
    retries: int = 5
    """How often a request is repeated after 429, 5xx, a timeout or a broken connection."""
    backoff_s: float = 1.0
    """First waiting time; doubles with every retry up to 60 s, each drawn between half and whole."""
    patience_s: float = 900.0
    """Most that a request may take with its repetitions and the waits between them, also those an endpoint asks for."""
    requests_per_minute: float = 0.0
    """Of all threads together; 0 = no limit."""
    tokens_per_minute: float = 0.0
    """Input and output together; 0 = no limit."""
    price_in: float = 0.0
    """Of a million input tokens, for estimates, the ledger and max_cost."""
    price_out: float = 0.0
    """Of a million output tokens, in the same currency."""
    batch_discount: float = 0.5
    """Share that is taken off both prices in batches."""
    image_tokens: int = 765
    """What the model counts for one image of the size that is sent; 765 is GPT-4o's count of 768 x 768 pixels."""
    tokenizer: str = ""
    """A tokenizer.json of the model to estimate with; empty = a rule."""
    typical_output_tokens: int = 700
    """Of an answer, for estimates; 700 hold eight sub-texts of 100 words in all, their marks, counts and boxes."""
    repair_share: float = 0.05
    """Share of the tiles that need a repair turn, for estimates."""
    batch_requests: int = 10000
    """Most requests in one batch (OpenAI takes 50,000)."""
    batch_megabytes: int = 180
    """Largest batch file (OpenAI takes 200 MB)."""
    poll_s: float = 10.0
    """First time between two looks at a batch; grows by half up to 5 minutes."""

    def __post_init__(self) -> None:
        unknown = [name for name in self.layers if name not in LAYERS]
        if unknown:
            raise ValueError(f"There is no prompt layer {unknown[0]!r}; use {', '.join(LAYERS)}.")
        if self.instruction_set and self.instruction_set not in DIMENSIONS:
            raise ValueError(f"There is no instruction set {self.instruction_set!r}; use {', '.join(DIMENSIONS)}.")
        if self.image_format not in IMAGE_FORMATS:
            raise ValueError(f"The image format is {self.image_format!r}; use {', '.join(IMAGE_FORMATS)}.")
        if self.response_format not in RESPONSE_FORMATS:
            raise ValueError(f"The response format is {self.response_format!r}; use {', '.join(RESPONSE_FORMATS)}.")
        if self.image_side < 32 or self.max_tokens < 1 or self.timeout_s <= 0:
            raise ValueError("image_side must be 32 or more, max_tokens and timeout_s must be positive.")
        if not all(math.isfinite(value) for value in vars(self).values() if isinstance(value, float)):
            raise ValueError("Times, rates, prices and shares must be finite numbers.")
        if self.retries < 0 or self.backoff_s < 0 or self.patience_s < 0:
            raise ValueError("retries, backoff_s and patience_s must not be negative.")
        # A stream or several answers would be paid and not understood.
        if self.extra.get("model"):
            raise ValueError("extra must not hold 'model': another model would answer under the name of --model.")
        own = [name for name in ("stream", "messages") if self.extra.get(name)]
        if own or self.extra.get("n") not in (None, 1):
            raise ValueError(f"extra must not hold {(own or ['n'])[0]!r}: one whole answer is asked for and paid.")
        for name in ("max_tokens", "max_completion_tokens"):
            length = self.extra.get(name)
            if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 1):
                raise ValueError(f"{name} in extra is {length!r}; it must be a whole number from 1, or null.")
        if min(self.requests_per_minute, self.tokens_per_minute, self.price_in, self.price_out) < 0:
            raise ValueError("Rates and prices must not be negative.")
        if min(self.image_tokens, self.typical_output_tokens) < 0:
            raise ValueError("image_tokens and typical_output_tokens must not be negative.")
        if not 0 <= self.batch_discount <= 1 or not 0 <= self.repair_share <= 2:
            raise ValueError("batch_discount lies between 0 and 1, repair_share between 0 and 2.")
        if self.batch_requests < 1 or self.batch_megabytes < 1 or self.poll_s <= 0:
            raise ValueError("batch_requests and batch_megabytes must be 1 or more, poll_s positive.")

    def prompt(self, request: TileRequest) -> Prompt:
        """What is sent for a tile."""
        return compose_prompt(
            request,
            self.layers,
            self.instruction_set or None,
            geographic_hint=self.geographic_hint,
            parent_text=self.parent_text,
            guided=self.guided,
            image_side=self.image_side,
            answer=self.answer_form,
        )

    @property
    def answer_form(self) -> AnswerForm:
        """What the prompt asks for: a JSON object, or lines of text."""
        return "text" if self.response_format == "text" else "json"

    def answer_settings(self) -> dict[str, Any]:
        """The settings that an answer depends on: not the patience."""
        settings = {**asdict(self), "layers": list(self.layers)}
        return {name: settings[name] for name in _ASKED}

    def parameters(self, model: str) -> dict[str, Any]:
        """Everything of a request but its messages: model, sampling, and the form of the answer."""
        parameters: dict[str, Any] = {
            "model": model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
        }
        if self.response_format == "json_schema":
            form = answer_schema(self.instruction_set or None, layered=self.guided)
            schema = {"name": "sub_texts", "strict": True, "schema": form}
            parameters["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.response_format == "json_object":
            parameters["response_format"] = {"type": "json_object"}
        parameters |= self.extra
        return {name: value for name, value in parameters.items() if value is not None}
