"""The key of an endpoint is hidden in every form in which it may come back, and nothing else is."""

import base64
import random
import string

import pytest

from knowlip.annotators.openai.secret import HIDDEN, Secret

KEY = "sk-proj-9xQ4vT7bLm2Zr8Kd5Wn3Hc6Yf1Ja0Pe"
TEXT = "A state-of-the-art port: three ships, and sk- is how keys begin... \\u0041 \\n"


def coded(before: str) -> str:
    return base64.b64encode(f"{before}{KEY} and more".encode()).decode()


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        KEY * 3,
        KEY[:8],
        KEY[-8:],
        KEY[7:20],
        *(coded("x" * before) for before in range(4)),
        coded("Bearer ").replace("+", "-").replace("/", "_"),
        KEY.encode().hex(),
        KEY.encode().hex().upper()[3:30],
        "".join(f"\\u{ord(letter):04x}" for letter in KEY),
        KEY.replace("p", "\\u0070"),
        KEY[:7] + "*" * 20 + KEY[-4:],
        f"{KEY[:5]}...{KEY[-4:]}",
    ],
)
def test_every_form_is_hidden(form: str) -> None:
    hidden = Secret(KEY).hide(f"before {form}, after")
    assert HIDDEN in hidden
    assert hidden.startswith("before ")
    assert hidden.endswith(", after")
    for text in (KEY, KEY.encode().hex(), form[4:-4]):
        parts = [text[at : at + 12] for at in range(len(text) - 11)]
        assert not any(part in hidden for part in parts)


def test_what_is_no_key_stays() -> None:
    assert Secret(KEY).hide(TEXT.replace("\\u0041", "A")) == TEXT.replace("\\u0041", "A")
    for word in ("none", "EMPTY", "x", "placeholder"):  # what servers of one's own are given
        assert Secret(word).hide(f"{word} of the ships is EMPTY") == f"{word} of the ships is EMPTY"


def test_parts_wherever_they_are_cut() -> None:
    draw = random.Random(3)
    for _ in range(300):
        length = draw.randint(8, len(KEY))
        start = draw.randint(0, len(KEY) - length)
        noise = ["".join(draw.choices(string.ascii_letters, k=draw.randint(0, 30))) for _ in range(2)]
        hidden = Secret(KEY).hide(noise[0] + KEY[start : start + length] + noise[1])
        assert HIDDEN in hidden
        assert not any(KEY[at : at + 8] in hidden for at in range(len(KEY) - 7))
