"""Whatever an endpoint replies is understood or told apart, never an error."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from knowlip.annotators.openai.reply import MOST_TOKENS, plain, read_answer

WORDS = st.text(st.characters(), max_size=20)
KEYS = st.sampled_from(
    "choices message content refusal finish_reason usage prompt_tokens completion_tokens text type error input_tokens "
    "output_tokens reasoning value".split()
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | WORDS, inner, max_size=4),
    max_leaves=12,
)
COMPLETION = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"message": st.dictionaries(KEYS, JSON, max_size=4)}), max_size=2)},
    optional={"usage": st.dictionaries(KEYS, JSON, max_size=3)},
)


def understood(reply: bytes) -> None:
    answer = read_answer(reply)
    if answer is None:
        return
    for name in ("content", "refusal", "finish_reason", "thoughts", "problem"):
        value = answer[name]  # type: ignore[literal-required]
        assert isinstance(value, str)
        assert plain(value) == value
        value.encode()
    for number in (answer["input_tokens"], answer["output_tokens"]):
        assert number is None or (type(number) is int and 0 <= number <= MOST_TOKENS)


@settings(max_examples=150, deadline=None)
@given(COMPLETION | JSON)
def test_any_json(body: Any) -> None:
    understood(json.dumps(body).encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 200))
def test_any_bytes(noise: bytes, start: int, end: int) -> None:
    sound = b'{"choices": [{"message": {"content": "three ships"}}], "usage": {"prompt_tokens": 5}}'
    understood(noise)
    understood(sound[:start] + noise + sound[end:])


def test_what_is_stored_since_before_is_read() -> None:
    old = {"content": "x", "refusal": None, "finish_reason": "stop", "input_tokens": 7, "output_tokens": 3}
    answer = read_answer(json.dumps(old).encode())
    assert answer is not None
    assert (answer["content"], answer["finish_reason"]) == ("x", "stop")
    assert (answer["input_tokens"], answer["output_tokens"], answer["problem"]) == (7, 3, "")


def test_thoughts_are_no_part_of_the_answer() -> None:
    message = {
        "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ships"}],
        "reasoning": "so",
    }
    answer = read_answer(json.dumps({"choices": [{"message": message}]}).encode())
    assert answer is not None
    assert (answer["content"], answer["thoughts"]) == ("ships", "so")


def test_parts_that_are_thoughts_are_no_part_of_the_answer() -> None:
    """A list of parts of which one thinks aloud: "maybe 3" is not said."""
    for kind in ("reasoning", "thinking", "reasoning_text"):
        parts = [{"type": kind, "text": "maybe 3 ships. "}, {"type": "text", "text": "2"}]
        answer = read_answer(json.dumps({"choices": [{"message": {"content": parts}}]}).encode())
        assert answer is not None
        assert (answer["content"], answer["thoughts"]) == ("2", "maybe 3 ships. ")
    parts = [{"type": "thinking", "thinking": "maybe 3"}, {"type": "output_text", "text": "2"}]
    answer = read_answer(json.dumps({"choices": [{"message": {"content": parts}}]}).encode())
    assert answer is not None
    assert answer["content"] == "2"
