"""Ablations: names, what varies, what is refused."""
# ruff: noqa: E501 (errors stand here as they are printed)

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_core import config
from m2m_core.config.ablations import made_by
from m2m_core.config.keys import Ablation
from tests.config.making import changed, refused, small

EXPERIMENT = config.parse(small()).experiments["vnet"]
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def ablated(vary, name="w", of="vnet", **others):
    return changed("ablations", {name: {"of": of, "vary": vary}, **others})


def names(vary):
    return list(config.parse(ablated(vary)).variants)


def test_every_combination_becomes_an_experiment():
    found = config.parse(ablated({"model.width": [4, 16], "training.seed": [0, 1]}))
    assert list(found.experiments) == ["vnet", "w-4-0", "w-4-1", "w-16-0", "w-16-1"]
    assert found.experiments["w-16-1"].model["width"] == 16 and found.experiments["w-16-1"].training.seed == 1
    assert found.variants["w-16-1"].label == "model.width = 16, training.seed = 1"
    assert found.origin("w-16-1") == "ablations.w (model.width = 16, training.seed = 1): experiments.vnet"
    assert found.origin("vnet") == "experiments.vnet"


def test_a_variant_differs_from_its_base_in_what_varies_alone():
    found = config.parse(ablated({"model.width": [4]})).experiments
    base, variant = found["vnet"].model_dump(), found["w-4"].model_dump()
    variant["model"]["width"] = base["model"]["width"]
    assert base == variant


def test_models_may_vary_whole():
    models = [{"name": "vnet"}, "unet", {"name": "unet", "depth": 3}]
    found = config.parse(ablated({"model": models})).experiments
    assert list(found)[1:] == ["w-vnet", "w-unet", "w-unet-depth3"]
    assert found["w-unet"].model["width"] == 16 and found["w-unet-depth3"].model["depth"] == 3
    assert found["w-vnet"].model["padding"] == "valid"


@pytest.mark.parametrize("vary", [{"model": ["unet"], "model.width": [4]}, {"model.width": [4], "model": ["unet"]}])
def test_a_choice_and_its_option_may_vary_together(vary):
    (name,) = names(vary)
    assert config.parse(ablated(vary)).experiments[name].model["width"] == 4


@pytest.mark.parametrize(
    "vary, name",
    [
        ({"optimizer.lr": [1e-3]}, "w-0p001"),
        ({"optimizer.lr": [1e-5]}, "w-1e-05"),
        ({"training.validation.fraction": [0.25]}, "w-0p25"),
        ({"training.clip": [None]}, "w-none"),
        ({"model.bypass": [False]}, "w-false"),
        ({"crops.size": [[32, 16, 16]]}, "w-32-16-16"),
        ({"crops": [{"size": 16}]}, "w-size16"),
        ({"training.augment": [[]]}, "w-none"),
        ({"normalize.input": ["log1p"]}, "w-log1p"),
        ({"evaluation": [["one_point", {"name": "power_spectrum"}]]}, "w-one-point-power-spectrum"),
    ],
)
def test_names_tell_the_values(vary, name):
    assert names(vary) == [name]


def test_a_sign_makes_another_name():
    ablation = Ablation(of="vnet", vary={"x": [1, -1, 0.5, -0.5]})
    assert list(made_by({"w": ablation}, {"vnet": EXPERIMENT})) == ["w-1", "w-m1", "w-0p5", "w-m0p5"]


def test_a_long_name_ends_with_a_digest():
    metrics = ["one_point", "helmholtz", "power_spectrum", "cross_correlation", "mean_square_error"]
    made = names({"evaluation": [metrics], "training.seed": [1, 2]})
    assert len(set(made)) == 2 and all(NAME.fullmatch(name) and len(name) > 60 for name in made)


words = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30)
values = st.lists(
    words | st.lists(words, max_size=3) | st.dictionaries(st.text(max_size=9), words, max_size=2),
    min_size=1,
    max_size=1,
)


@given(st.dictionaries(st.text(max_size=9), values, min_size=1, max_size=4))
def test_every_name_is_a_name(vary):
    for name in made_by({"w": Ablation(of="vnet", vary=vary)}, {"vnet": EXPERIMENT}):
        assert NAME.fullmatch(name)


@pytest.mark.parametrize(
    "vary, words",
    [
        ({"model.widht": [4]}, "ablations.w.vary.model.widht: no such key 'widht'; did you mean 'width'?"),
        ({"modle.width": [4]}, "ablations.w.vary.modle.width: no such key 'modle'; did you mean 'model'?"),
        ({"model.width": ["a"]}, "ablations.w (model.width = a): experiments.vnet.model.width: got 'a'; expected an integer of at least 1"),
        ({"model.width": []}, "ablations.w.vary.model.width: got []; expected a list of 1 to 1000"),
        ({"model.width": 4}, "ablations.w.vary.model.width: got 4; expected a list of 1 to 1000"),
        ({}, "ablations.w.vary: got {}; expected a mapping of at least 1 name, each to a list of 1 to 1000"),
        ({"model.width": [4, 4]}, "ablations.w: model.width = 4 makes 'w-4', which exists; expected other values or names"),
        ({"training.epochs.x": [4]}, "ablations.w.vary.training.epochs.x: 'epochs' is 30; expected keys in it, or vary it whole"),
        ({"training.seed": list(range(1000)), "model.width": [1, 2]}, "ablations.w.vary: makes 2000 experiments; expected at most 1000"),
        ({"dataset": ["x"]}, "ablations.w (dataset = x): experiments.vnet.dataset: unknown dataset 'x'; known: nbody"),
    ],
)  # fmt: skip
def test_the_line_of_a_refusal(vary, words):
    assert refused(ablated(vary)) == words


def test_a_base_has_to_be_an_experiment_of_the_config():
    other = {"of": "w-4", "vary": {"loss": ["mae"]}}
    assert (
        refused(ablated({"model.width": [4]}, v=other))
        == "ablations.v.of: 'w-4' is made by ablation 'w'; expected one of vnet"
    )
    assert (
        refused(ablated({"loss": ["mae"]}, of="w"))
        == "ablations.w.of: 'w' is made by ablation 'w'; expected one of vnet"
    )
    assert (
        refused(ablated({"loss": ["mae"]}, of="vnett"))
        == "ablations.w.of: unknown experiment 'vnett'; did you mean 'vnet'?"
    )


def test_a_variant_may_not_take_the_name_of_an_experiment():
    raw = ablated({"model.width": [4]})
    raw["experiments"]["w-4"] = raw["experiments"]["vnet"]
    assert "makes 'w-4', which exists" in refused(raw)
