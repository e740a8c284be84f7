"""What differs between two settings, in words."""

import pytest

from m2m_core.changes import differences, listed, numbers

CODE = {"code": "0123"}


@pytest.mark.parametrize(
    "then, now, lines",
    [
        ({"model": {"width": 8}}, {"model": {"width": 16}}, ["here.model.width 8 -> 16"]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
        ({"a": None}, {"a": True}, ["here.a null -> true"]),
        ({"a": 1.0}, {"b": 1.0}, ["here.a 1.0 -> nothing", "here.b nothing -> 1.0"]),
        ({"code": "a", "files": "b"}, {"code": "c", "files": "d"}, []),
        ({"geometry": {"name": "vnet"}}, {"geometry": {"name": "unet"}}, ["here.model vnet -> unet"]),
        ({"geometry": {"options": {"depth": 1}}}, {"geometry": {"options": {"depth": 2}}}, ["here.model.depth 1 -> 2"]),
        ({"augment": ["flip"]}, {"augment": []}, ["here.augment [flip] -> []"]),
        (
            {"evaluation": [{"name": "one_point", "bins": 50}]},
            {"evaluation": [{"name": "one_point", "bins": 60}]},
            ["here.evaluation.one_point.bins 50 -> 60"],
        ),
        ({"config": {"report": {"title": "A"}}}, {"config": {"report": {"title": "B"}}}, ["here.report.title A -> B"]),
    ],
)
def test_keys_that_differ_are_named_as_in_the_config(then, now, lines):
    assert differences({**CODE, **then}, {**CODE, **now}, "here.") == lines


def test_of_many_differences_the_first_are_told():
    then, now = ({f"k{i}": value for i in range(9)} for value in (0, 1))
    assert differences(then, now, "")[-2:] == ["k3 0 -> 1", "5 more"]


def test_what_is_chosen_goes_before_its_options():
    then, now = {"loss": {"name": "mse"}}, {"loss": {"delta": 1.0, "name": "huber"}}
    assert differences(then, now, "") == ["loss mse -> huber", "loss.delta nothing -> 1.0"]


def test_a_choice_that_becomes_a_list():
    then, now = {"loss": {"name": "mse"}}, {"loss": [{"name": "mse", "weight": 1.0}, {"name": "dice", "weight": 2.0}]}
    weights = ["loss.dice.weight nothing -> 2.0", "loss.mse.weight nothing -> 1.0"]
    assert differences(then, now, "") == ["loss mse -> [mse, dice]", *weights]
    assert differences(now, then, "")[0] == "loss [mse, dice] -> mse"


def test_names_added_removed_and_changed():
    assert listed({"a": 1, "b": 1, "c": 1}, {"b": 2, "c": 1, "d": 1}) == ["d added", "a removed", "b changed"]
    assert listed({"a": 1}, {"a": 1}) == []


@pytest.mark.parametrize(
    "names, text",
    [
        (["2", "0", "1"], "0-2"),
        (["0003", "0004", "0007"], "0003-0004, 0007"),
        (["10", "9"], "9-10"),
        (["power"], "power"),
        (["b", "a"], "a, b"),
        (list("abcdefg"), "a, b, c, d, 3 more"),
    ],
)
def test_ranges(names, text):
    assert numbers(names) == text
