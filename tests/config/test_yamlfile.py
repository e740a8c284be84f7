"""YAML without its traps: what is refused, with which line, and what is read as what."""

import math
import os
import resource
import subprocess
import sys

import pytest

from m2m_core import yamlfile
from m2m_core.errors import ConfigError


@pytest.fixture
def read(tmp_path):
    def read(text):
        path = tmp_path / "a.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return yamlfile.read(path)

    return read


@pytest.mark.parametrize(
    "text, value",
    [
        ("1", 1), ("-3", -3), ("1_000", 1000), ("0x1F", 31), ("0", 0), ("1.5", 1.5), ("1.0e-4", 1e-4),
        (".5", 0.5), ("5.", 5.0),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), (".inf", math.inf),
        ("-.inf", -math.inf),
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("012", "012"), ("1:30", "1:30"), ("09", "09"), ("1e-4", "1e-4"),
        ("1.0e4", "1.0e4"), ("2001-01-01", "2001-01-01"), ("'1'", "1"), ("nan", "nan"), ("[1, a]", [1, "a"]),
    ],
)  # fmt: skip
def test_a_scalar_is_what_it_looks_like(read, text, value):
    found = read(f"a: {text}\n")["a"]
    assert found == value and type(found) is type(value)


def test_a_merge_fills_in_what_is_not_given(read):
    assert read("x: &x {a: 1, b: 2}\ny: {<<: *x, a: 3}")["y"] == {"a": 3, "b": 2}


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", b"a: 1\r\nb: 2", b"a: 1\nb: 2\n"])
def test_byte_order_mark_and_line_ends_do_not_matter(read, text):
    assert read(text) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "text, line, words",
    [
        ("a: 1\nb:\n  c: 1\n  c: 2", 4, "duplicate key 'c'"),
        ("a: 1\n5: 2", 2, "key '5' is not text; write it in quotes"),
        ("a: 1\nnull: 2", 2, "not text"),
        ("? [1, 2]\n: 3", 1, "not text"),
        ("a:\n\tb: 1", 2, "a tab: YAML indents with blanks"),
        (b"a: 1\nb: \xff", 2, "byte 0xff; expected UTF-8"),
        ("", 1, "empty; expected a mapping"),
        ("# nothing", 1, "empty"),
        ("- 1", 1, "a list; expected a mapping"),
        ("words", 1, "a str; expected a mapping"),
        ("a: 1\n---\nb: 2", 2, "another document"),
        ("a: 1\nb: *x", 2, "undefined alias"),
        ("a: {b", 2, "did not find"),
        ("a: 1\nb: \x00", 2, "does not allow"),
        ("a: 1\nb: !!python/object/apply:os.system [touch PWNED]", 2, "tag '!!python/object/apply:os.system'"),
        ("a: !!python/name:os.system x", 1, "without tags"),
        ("a: !!binary aGk=", 1, "without tags"),
        ("a: !mine 1", 1, "without tags"),
    ],
)
def test_a_refusal_names_file_line_and_reason(read, tmp_path, monkeypatch, text, line, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith(f"{tmp_path / 'a.yaml'}:{line}: ") and words in str(caught.value)
    assert not (tmp_path / "PWNED").exists()


def bomb(levels, width):
    lines = ["a0: &a0 [x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * width)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [bomb(10, 10), bomb(30, 3), "a: &a [*a]", "a: [" + "1, " * 200_000 + "]", "a: 1" + "0" * 5000, "x" * 10_100_000],
    ids=["ten by ten", "thirty by three", "inside itself", "long", "a number of 5000 digits", "huge"],
)
def test_bombs_are_refused(read, text):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_does_not_kill_the_process(tmp_path, opening):
    path = tmp_path / "deep.yaml"
    path.write_text(opening * 200_000)
    code = "import m2m_core.yamlfile as y, m2m_core.errors as e\n"
    code += f"try: y.read({str(path)!r})\nexcept e.ConfigError as x: print(x)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, preexec_fn=small_memory
    )
    assert "nested more than 50 deep" in done.stdout


def small_memory():
    resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))


def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path, words in [("fifo", "not a regular file"), (".", "not a regular file"), ("none", "no such file")]:
        with pytest.raises(ConfigError, match=words):
            yamlfile.read(tmp_path / path)
    with pytest.raises(ConfigError, match="not a regular file"):
        yamlfile.read("/dev/zero")


def test_values_of_a_command_line_are_read_as_in_a_file():
    given = {"a": "1", "b": {"c": ["2.5", "true", "null", "no", "1e-4", "*.npy", "a: b", "[1]", ""]}, "d": 3, "e": "<<"}
    expected = {"a": 1, "b": {"c": [2.5, True, None, "no", "1e-4", "*.npy", "a: b", "[1]", ""]}, "d": 3, "e": "<<"}
    assert yamlfile.plain(given) == expected


def test_layers_are_merged_key_by_key():
    base = {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 3}
    assert yamlfile.lay_over(base, {"a": {"y": 5, "z": 6}, "b": [3]}) == {
        "a": {"x": 1, "y": 5, "z": 6},
        "b": [3],
        "c": 3,
    }
    assert base == {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 3}


def test_another_choice_replaces_the_earlier_one_whole():
    base = {"model": {"name": "vnet", "width": 8, "growth": 1}}
    assert yamlfile.lay_over(base, {"model": {"name": "unet", "width": 4}}) == {"model": {"name": "unet", "width": 4}}
    assert yamlfile.lay_over(base, {"model": {"width": 4}})["model"] == {"name": "vnet", "width": 4, "growth": 1}
    assert yamlfile.lay_over(base, {"model": "unet"}) == {"model": "unet"}


def test_an_experiment_may_be_called_name_or_kind():
    base = {"experiments": {"a": {"x": 1}, "name": {"x": 2}}}
    assert yamlfile.lay_over(base, {"experiments": {"name": {"x": 3}}})["experiments"] == {
        "a": {"x": 1},
        "name": {"x": 3},
    }
