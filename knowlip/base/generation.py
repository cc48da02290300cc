"""How texts are written: the settings of :mod:`knowlip.models.generate`, apart from it so that they load at once."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GenerationConfig:
    """How the content of a hole is written. As it stands: the most probable next token, again and again (greedy)."""

    max_new_tokens: int = 160
    """Longest text; one that meets this limit ends there."""
    min_new_tokens: int = 0
    """Shortest text."""
    beams: int = 1
    """Unfinished texts that are followed at once."""
    length_penalty: float = 1.0
    """Beams: a text's score is its log-probability divided by (tokens, the end included) ** length_penalty. 0 is the
    plain sum and favours short texts."""
    early_stop: bool = False
    """Beams: stop as soon as `beams` texts have ended, instead of when no unfinished one can still win."""
    temperature: float = 0.0
    """Above 0: draw tokens, from probabilities sharpened (below 1) or flattened (above 1)."""
    top_k: int = 0
    """Draw from the k most probable tokens only; 0: from all."""
    top_p: float = 1.0
    """Draw from the fewest most probable tokens that hold this probability."""
    seed: int = 0
    """Of the draws."""
    num: int = 1
    """Texts a prompt: the best beams (no more than `beams`), or this many draws."""
    start: str = ""
    """Words that every text begins with; they are not part of what is returned (BLIP's captions: "a picture of")."""
    no_repeat_ngram: int = 0
    """No run of this many tokens stands twice in a text, its first words included; 0: anything may be repeated."""

    def __post_init__(self) -> None:
        for name, least in (("max_new_tokens", 1), ("min_new_tokens", 0), ("beams", 1), ("top_k", 0), ("num", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"generation.{name} must be at least {least}.")
        if self.no_repeat_ngram < 0 or self.temperature < 0:
            raise ValueError("generation.no_repeat_ngram and generation.temperature must not be negative.")
        if not 0 < self.top_p <= 1:
            raise ValueError("generation.top_p must be above 0 and at most 1.")
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError("generation.min_new_tokens must not exceed max_new_tokens.")
        if self.temperature and self.beams > 1:
            raise ValueError("Set generation.beams or generation.temperature, not both: beams are not drawn.")
        if not self.temperature and (self.top_k or self.top_p < 1):
            raise ValueError("generation.top_k and top_p need a temperature above 0: without one nothing is drawn.")
        if not self.temperature and self.num > self.beams:
            raise ValueError("generation.num must not exceed beams; draws (a temperature above 0) have no such limit.")
