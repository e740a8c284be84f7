"""Ablations: names, what varies, what is refused."""
# ruff: noqa: E501 (errors stand here as they are printed)

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_core import config
from m2m_core.config.ablations import made_by
from m2m_core.config.variation import Ablation
from tests.config.making import changed, refused, small

EXPERIMENT = config.parse(small()).experiments["vnet"]
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def ablated(vary, name="w", of="vnet", **others):
    return changed("ablations", {name: {"of": of, "vary": vary}, **others})


def made(way, name="w"):
    """The config with one ablation of vnet."""
    return config.parse(changed("ablations", {name: {"of": "vnet", **way}}))


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
    found = names({"evaluation": [metrics], "training.seed": [1, 2]})
    assert len(set(found)) == 2 and all(NAME.fullmatch(name) and len(name) > 60 for name in found)


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
        ({}, "ablations.w.vary: got {}; expected a mapping of at least 1 name, each to a list of 1 to 1000, or null"),
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


# ---- by name

HUBER = {"loss": {"name": "huber", "delta": 0.2}, "training.epochs": 40}


def test_variants_by_name():
    found = made({"variants": {"robust": HUBER, "long": {"training": {"epochs": 90, "validation": {"every": 5}}}}})
    assert list(found.experiments) == ["vnet", "w-robust", "w-long"]
    robust, long = found.experiments["w-robust"], found.experiments["w-long"]
    assert robust.loss == {"name": "huber", "delta": 0.2} and robust.training.epochs == 40
    assert long.training.epochs == 90 and long.training.validation.every == 5
    assert long.training.batch_size == EXPERIMENT.training.batch_size  # a section is laid over, not replaced
    assert found.origin("w-robust") == "ablations.w.variants.robust: experiments.vnet"
    assert found.variants["w-long"].label == "training.epochs = 90, training.validation.every = 5"


def test_a_long_name_of_a_variant_is_a_name_too():
    (name,) = made({"variants": {"x" * 64: HUBER}}).variants
    assert NAME.fullmatch(name) and name.startswith("w-xxx")


# ---- at random

DRAW = {"optimizer.lr": {"low": 1e-4, "high": 1e-2, "log": True}, "model.width": {"low": 2, "high": 16}}


def at_random(count, seed=0, draw=None):
    return made({"draw": draw or DRAW, "random": {"count": count, "seed": seed}})


def test_random_experiments_have_stable_names_and_values():
    few, many = at_random(3), at_random(12)
    assert list(many.variants) == [f"w-{n}" for n in range(12)]
    assert all(many.experiments[name] == few.experiments[name] for name in few.experiments)
    assert all(at_random(3, seed=1).experiments[name] != few.experiments[name] for name in few.variants)
    assert few.variants["w-1"].values == {"optimizer.lr": few.experiments["w-1"].optimizer["lr"],
                                          "model.width": few.experiments["w-1"].model["width"]}  # fmt: skip


def test_what_names_code_may_be_drawn_whole():
    found = at_random(20, draw={"model": ["unet", {"name": "vnet", "padding": "zero"}], "model.width": [3, 5]})
    assert {e.model["name"] for e in found.experiments.values()} == {"vnet", "unet"}
    assert {found.experiments[name].model["width"] for name in found.variants} == {3, 5}


# ---- in one way, and what is wrong

LIST = {"optimizer.lr": [0.1]}


@pytest.mark.parametrize(
    "way, words",
    [
        ({}, "ablations.w: makes nothing; expected vary, variants, or draw with random or search"),
        ({"draw": LIST}, "ablations.w: draw alone makes nothing; expected random: {count: ...} or search: {trials: ...} with it"),
        ({"random": {"count": 2}}, "ablations.w: random without draw; expected draw: {key: [values] or {low: ..., high: ...}}"),
        ({"vary": LIST, "draw": LIST, "random": {"count": 2}}, "ablations.w: vary and random; expected one of them, in an ablation of its own each"),
        ({"draw": LIST, "random": {"count": 2}, "search": {"trials": 2}}, "ablations.w: random and search; expected one of them, in an ablation of its own each"),
        ({"vary": LIST, "variants": {"a": {"loss": "mae"}}}, "ablations.w: vary and variants; expected one of them, in an ablation of its own each"),
        ({"draw": LIST, "random": {"count": 0}}, "ablations.w.random.count: got 0; expected an integer from 1 to 1000"),
        ({"draw": LIST, "random": {}}, "ablations.w.random.count: missing; expected an integer from 1 to 1000"),
        ({"draw": LIST, "random": {"cuont": 3}}, "ablations.w.random.cuont: this section has no such key; did you mean 'count'?"),
        ({"draw": {"optimizer.lr": 0.1}, "random": {"count": 2}}, "ablations.w.draw.optimizer.lr: got 0.1; expected a list of 1 to 1000, or a mapping with keys low, high, log"),
        ({"draw": {"optimizer.lr": {"low": 0.1}}, "random": {"count": 2}}, "ablations.w.draw.optimizer.lr.high: missing; expected an integer, or a number"),
        ({"draw": {"optimizer.lr": {"low": 0.1, "high": 0.1}}, "random": {"count": 2}}, "ablations.w.draw.optimizer.lr: low is 0.1, high is 0.1; expected low below high"),
        ({"draw": {"optimizer.lr": {"low": 0, "high": 0.1, "log": True}}, "random": {"count": 2}}, "ablations.w.draw.optimizer.lr: low is 0; expected a number above 0 where log is true"),
        ({"draw": {"optimizer.lr": {"low": 0.1, "high": "1e-2"}}, "random": {"count": 2}}, "ablations.w.draw.optimizer.lr.high: got '1e-2'; expected an integer, or a number"),
        ({"draw": {"optimzer.lr": [0.1]}, "random": {"count": 2}}, "ablations.w.draw.optimzer.lr: no such key 'optimzer'; did you mean 'optimizer'?"),
        ({"draw": {"model.width": {"low": -4, "high": -3}}, "random": {"count": 1}}, "ablations.w (model.width = -4): experiments.vnet.model.width: got -4; expected an integer of at least 1"),
        ({"draw": {"model.width": {"low": 1.0, "high": 4}}, "search": {"trials": 1}}, "ablations.w (model.width = 1.0): experiments.vnet.model.width: got 1.0; expected an integer of at least 1"),
        ({"variants": {"a": {"loss.dleta": 1}}}, "ablations.w.variants.a.loss.dleta: no such key 'dleta'; known: name"),
        ({"variants": {"a": {"loss": {"name": "huber", "dleta": 1}}}}, "ablations.w.variants.a: experiments.vnet.loss.dleta: 'huber' has no such key; did you mean 'delta'?"),
        ({"variants": {"a": {"training.epochs": 1, "training": {"epochs": 2}}}}, "ablations.w.variants.a: training.epochs is given twice; expected each key once"),
        ({"variants": {"a": {}}}, "ablations.w.variants.a: got {}; expected a mapping of at least 1 name"),
        ({"variants": {"A b": {"loss": "mae"}}}, "ablations.w.variants: name 'A b'; expected a name like '[a-z0-9][a-z0-9_-]{0,63}'"),
        ({"draw": LIST, "search": {"trials": 2, "sampler": "grid"}}, "ablations.w.search.sampler: got 'grid'; expected 'tpe' or 'random'"),
    ],
)  # fmt: skip
def test_the_line_of_a_way_that_is_refused(way, words):
    line = refused(changed("ablations", {"w": {"of": "vnet", **way}}))
    assert line.removesuffix("; YAML takes 1e-2 for text: write 1.0e-2") == words


def test_a_search_makes_no_experiment_and_is_no_base():
    search = {"of": "vnet", "draw": DRAW, "search": {"trials": 5}}
    found = config.parse(changed("ablations", {"w": search}))
    assert list(found.experiments) == ["vnet"]
    ends = [(e.optimizer["lr"], e.model["width"]) for _, e in found.probes["w"]]
    assert ends == [(1e-4, 2), (1e-4, 16), (1e-2, 2), (1e-2, 16)]
    other = {"of": "w", "vary": {"loss": ["mae"]}}
    line = refused(changed("ablations", {"w": search, "v": other}))
    assert line == "ablations.v.of: 'w' is made by ablation 'w'; expected one of vnet"


def test_a_trial_is_the_base_with_its_values():
    base = EXPERIMENT.model_dump()
    trial = config.trial_of(base, "vnet", "w", {"model.width": 5})
    assert trial.pop("model") == base.pop("model") | {"width": 5} and trial == base
    with pytest.raises(config.reading.ConfigError, match=r"ablations.w \(model.width = 0\): experiments.vnet.model"):
        config.trial_of(EXPERIMENT.model_dump(), "vnet", "w", {"model.width": 0})
