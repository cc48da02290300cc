"""JSON and YAML of others: read within limits, refused with one sentence, and never the end of the process."""

import json
import math
import os
import time
from pathlib import Path

import pytest
import yaml

from knowlip.base.documents import (
    JSON_DEPTH,
    YAML_DEPTH,
    check_text,
    parse_json,
    parse_yaml,
    read_json,
    read_limited,
    read_yaml,
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 100_000, "levels deep"),
        ('{"a":' * 100_000, "levels deep"),
        ("[" * (JSON_DEPTH + 1) + "]" * (JSON_DEPTH + 1), "levels deep"),
        ("[1e999]", "not finite"),
        ("[-1e999]", "not finite"),
        ("[" + "1" * 400 + ".0]", "not finite"),
        ("[NaN]", "not valid JSON"),
        ("Infinity", "not valid JSON"),
        ("[" + "9" * 19 + "]", "64 bits"),
        ("[" + "1" * 5000 + "]", "not valid JSON"),
        ('["\\ud800"]', "not valid JSON"),
        ('["\ud800"]', "not valid JSON"),
        ('{"a": 1, "a": 2}', "duplicate key"),
        ('{"a": 1} x', "not valid JSON"),
        ("", "not valid JSON"),
        ("[1,2,3,4,5,6,7,8,9,10,11]", "more than 10 values"),
    ],
)
def test_json_beyond_the_limits(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"(?i)^The page.*{why}"):
        parse_json(text, "The page", most_values=10 if "values" in why else 5_000_000)


def test_json_within_the_limits_is_what_the_standard_library_reads() -> None:
    value = {"a": [1, -2.5, 1e-300, 2**62, True, None, "\u00e9\U0001f6f0 \\ud800", {}], "b": {"": [[]]}}
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        assert parse_json(text, "x") == parse_json(b"\xef\xbb\xbf" + text.encode(), "x") == value
    deep = "[" * JSON_DEPTH + "]" * JSON_DEPTH
    assert parse_json(deep, "x") == json.loads(deep)


def test_what_must_not_be_lost_is_read_leniently() -> None:
    assert parse_json('["\\ud800", "\\\\ud800", "\\ud83d\\ude00", "\\udc00\\u0041"]', "x", lenient=True) == [
        "\ufffd",
        "\\ud800",
        "\U0001f600",
        "\ufffdA",
    ]
    one, two, three = parse_json("[NaN, 1e999, 99999999999999999999]", "x", lenient=True)
    assert math.isnan(one)
    assert (two, three) == (math.inf, 99999999999999999999)
    assert parse_json('{"a": 1, "a": 2}', "x", lenient=True) == {"a": 2}
    assert parse_json(b'["\xff"]', "x", lenient=True) == ["\ufffd"]
    with pytest.raises(ValueError, match="levels deep"):
        parse_json("[" * 5000, "x", lenient=True)


_LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[" * 20_000, "levels deep"),
        ("{a: " * 20_000, "levels deep"),
        ("- " * 20_000, "levels deep"),
        ("\n".join(" " * n + "a:" for n in range(YAML_DEPTH + 2)), "levels deep"),
        (_LAUGHS, "more than 200,000 values"),
        (_LAUGHS.replace("[", "{<<: [").replace("]", "]}").replace("[x, x, x, x, x, x, x, x, x]", "{x: 1}"), "values"),
        ("a: &a [1, *a]", "within what it names"),
        ("&a {b: *a}", "within what it names"),
        ("a: 1\na: 2", "'a' twice"),
        ("a: .nan", "not finite"),
        ("a: -.inf", "not finite"),
        ("a: " + "9" * 5000, "64 bits"),
        ("1" + ":59" * 3000, "64 bits"),
        ("a: 2020-99-99", "not valid YAML"),
        ('a: "\\ud800"', "not valid YAML"),
        ("!!python/object/apply:os.system [exit]", "not valid YAML"),
        ('!!int ""', "not valid YAML"),
        ("!!timestamp x", "not valid YAML"),
        ("? {a: b}\n: 1", "not valid YAML"),
        ("*b", "not valid YAML"),
        ("a\x00b", "not valid YAML"),
    ],
)
def test_yaml_beyond_the_limits(text: str, why: str) -> None:
    begun = time.process_time()
    with pytest.raises(ValueError, match=f"^The settings.*{why}"):
        parse_yaml(text, "The settings")
    assert time.process_time() - begun < 3


def test_yaml_within_the_limits_is_what_the_library_reads() -> None:
    text = "base: &b {x: 1, 1: one}\nnext: {<<: *b, x: 2, '1': two}\nlast: [*b, *b]\nday: 2024-02-29\nnone:\n"
    assert parse_yaml(text, "x") == parse_yaml(b"\xef\xbb\xbf" + text.encode(), "x") == yaml.safe_load(text)


@pytest.mark.parametrize("read", [read_json, read_yaml])
def test_only_regular_files_of_a_bounded_size_are_read(read: object, tmp_path: Path) -> None:
    assert callable(read)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"")
    os.truncate(tmp_path / "large", 1 << 40)  # a hole: takes no disk
    for name, why in (("pipe", "is no file"), (".", "is no file"), ("large", "is larger than"), ("none", "not exist")):
        with pytest.raises(ValueError, match=why):
            read(tmp_path / name)
    (tmp_path / "small").write_bytes(b"12345")
    assert read_limited(tmp_path / "small", 5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        read_limited(tmp_path / "small", 4)


def test_text_is_unicode() -> None:
    assert check_text("caf\u00e9 \U0001f6f0", "The question") == "caf\u00e9 \U0001f6f0"
    with pytest.raises(ValueError, match="The question is not valid Unicode at character 3"):
        check_text("no\udfff", "The question")


def test_a_hash_is_no_number_whatever_it_begins_with() -> None:
    for start in ("0b", "0c", "00", "1e"):
        digest = start + "357d95109564f0f0ec60ff7c60944f63bcf8d5f0db41d8cc840a6fe567c9b6"
        assert parse_yaml(f"a: {digest}", "x") == {"a": digest}
    with pytest.raises(ValueError, match="64 bits"):
        parse_yaml("a: 0b" + "1" * 80, "x")
