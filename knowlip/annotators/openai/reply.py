"""What is understood of an endpoint's replies, whatever their shape: nothing here raises for what they hold."""

import json
import math
import re
from typing import Any, Final, TypedDict

MOST_TOKENS: Final = 20_000_000
"""No request has so many; a larger number is none."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_THINKS: Final = ("reasoning", "thinking", "thought", "redacted_thinking")
"""How the types of parts begin that are no answer."""
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


class ChatAnswer(TypedDict):
    """What is understood of a chat completion."""

    content: str
    refusal: str
    finish_reason: str
    thoughts: str
    """What a reasoning model says to itself: no part of the answer, but paid."""
    input_tokens: int | None
    """None where the reply states no number that can be."""
    output_tokens: int | None
    problem: str
    """Why the reply holds no answer at all; "" where it holds one."""


def read_answer(reply: bytes) -> ChatAnswer | None:
    """What is understood of a stored reply; None where it is not JSON, which is no answer but one that was lost."""
    try:
        body: Any = json.loads(reply, parse_int=_number, strict=False)
    except RecursionError:
        return _answer({}, {}, {}, "the endpoint's response is nested too deeply")
    except ValueError:
        return None
    if not isinstance(body, dict):
        return _answer({}, {}, {}, "the endpoint's response is no object")
    if "choices" not in body and "input_tokens" in body:  # as answers were stored before replies were
        usage = {"prompt_tokens": body["input_tokens"], "completion_tokens": body.get("output_tokens")}
        return _answer({}, body, usage)
    usage = objects(body.get("usage"))
    choices = body.get("choices")
    first = objects(choices[0] if isinstance(choices, list) and choices else choices)
    message = first.get("message")
    if message is None and "text" in first:
        message = first["text"]
    message = {"content": message} if isinstance(message, str) else message
    if isinstance(message, dict):
        return _answer(first, message, usage)
    words = objects(body.get("error")).get("message")
    return _answer({}, {}, usage, f"the endpoint's response holds no answer{f' ({words})' if words else ''}"[:300])


def _answer(choice: dict[str, Any], message: dict[str, Any], usage: dict[str, Any], problem: str = "") -> ChatAnswer:
    said, thought = _apart(message.get("content"))
    content, refusal = _text(said), message.get("refusal")
    if isinstance(message.get("content"), list):
        refusal = refusal or next((part for part in map(_refused, message["content"]) if part), None)
    reason = choice.get("finish_reason", message.get("finish_reason"))
    output = _tokens(usage, "completion_tokens", "output_tokens")
    return {
        "content": content,
        "refusal": (_text(refusal) or "no reason given") if refusal else "",
        "finish_reason": plain(reason) if isinstance(reason, str) else "",
        "thoughts": _text(message.get("reasoning_content") or message.get("reasoning")) or _text(thought),
        "input_tokens": _tokens(usage, "prompt_tokens", "input_tokens") or None,  # a question has some
        "output_tokens": output or (None if content else output),
        "problem": plain(problem),
    }


def _apart(content: Any) -> tuple[Any, list[Any]]:
    """A message without the parts in which a model tells itself what it thinks, and these."""
    if not isinstance(content, list):
        return content, []
    said: list[Any] = []
    thought: list[Any] = []
    for part in content:
        (thought if str(objects(part).get("type", "")).startswith(_THINKS) else said).append(part)
    return said, thought


def _refused(part: Any) -> Any:
    return part.get("refusal") if isinstance(part, dict) else None


def _text(value: Any) -> str:
    """The text of a message: also of one in parts, or of an answer that came as the object it describes."""
    if value is None:
        return ""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, list) and all(isinstance(part, str) or "type" in objects(part) for part in value):
        parts = [part if isinstance(part, str) else objects(part).get("text") for part in value]
        texts = [objects(part).get("value", "") if isinstance(part, dict) else part for part in parts]
        return plain("".join(text for text in texts if isinstance(text, str)))
    try:
        return plain(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        return ""


def plain(text: str) -> str:
    """The text without control characters, and with a mark in place of half characters, which no file can hold."""
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("", text))


def objects(value: Any) -> dict[str, Any]:
    """The value where it is a JSON object, else an empty one: what is damaged must not end the run."""
    return value if isinstance(value, dict) else {}


def words(value: Any) -> str:
    """The value where it is a word or number, as text; else nothing."""
    return plain(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def read_object(reply: bytes) -> dict[str, Any]:
    """A reply that is to be a JSON object; {} for any other JSON.

    Raises:
        json.JSONDecodeError: it is no JSON.
    """
    try:
        return objects(json.loads(reply, parse_int=_number, strict=False))
    except RecursionError:
        return {}
    except ValueError as error:
        raise json.JSONDecodeError(str(error).split(":")[0], "", 0) from None


def _number(digits: str) -> int | float:
    """A whole number; one of thousands of digits is infinite, before Python refuses to read it."""
    return int(digits) if len(digits) < 300 else math.inf


def _tokens(usage: dict[str, Any], *names: str) -> int | None:
    """A count of tokens that can be; None for any other, and where there is none."""
    value = next((usage[name] for name in names if usage.get(name) is not None), None)
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_TOKENS:
        return None
    return int(value)
