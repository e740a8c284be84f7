"""The config: what is accepted, the line with which the rest is refused, layers, plugins, defaults."""
# ruff: noqa: E501 (errors stand here as they are printed)

import subprocess
import sys

import pytest
import yaml

from m2m_core import config, registry
from m2m_core.errors import ConfigError
from tests.config.making import DEFAULT, TOP, changed, default, loaded, refused, small

E, D = "experiments/vnet", "datasets/nbody"
NPY = {"kind": "npy", "input": "a", "target": "b"}


@pytest.fixture(autouse=True)
def no_plugins():
    yield
    registry.use_plugins([])


# ---- what is right


def test_every_default_is_filled_in():
    vnet = config.parse(small()).experiments["vnet"]
    assert vnet.model == {
        "name": "vnet", "width": 8, "depth": 2, "growth": 1, "padding": "periodic", "normalization": "none",
        "groups": 8, "activation": "leaky_relu", "hidden": None, "bypass": True,
    }  # fmt: skip
    assert vnet.optimizer["lr"] == 1e-3 and vnet.training.epochs == 30

    assert vnet.normalize.input.model_dump() == {"transform": "identity", "scaling": "standardise"}


def test_weights_to_begin_with_are_a_path_or_keys():
    path, keys = "state.pt", {"path": "state.pt", "strict": True}
    for value in (path, keys):
        found = config.parse(changed(f"{E}/training", {"initial_weights": value, "epochs": 0})).experiments["vnet"]
        assert found.training.model_dump()["initial_weights"] == keys and found.training.epochs == 0


def test_a_transform_may_stand_alone():
    found = config.parse(changed(f"{E}/normalize", {"input": "log1p", "target": {"transform": "log1p"}}))
    normal = found.experiments["vnet"].normalize
    assert normal.input.model_dump() == normal.target.model_dump() == {"transform": "log1p", "scaling": "identity"}


def test_options_of_a_scaling_stand_where_they_say_something():
    chosen = {"name": "displacement", "rms": 5.0}
    sides = {"input": {"scaling": chosen}, "target": {"transform": ["log1p"], "scaling": {**chosen, "rms": 6.0}}}
    normal = config.parse(changed(f"{E}/normalize", sides)).experiments["vnet"].normalize
    assert normal.input.scaling == chosen
    assert normal.target.model_dump() == {"transform": "log1p", "scaling": "displacement"}


def test_parts_of_a_field_are_normalised_by_name_whatever_their_order():
    parts = {"v": "velocity", "psi": {"transform": ["log", "log1p"]}}
    normal = config.parse(changed(f"{E}/normalize", {"input": parts})).experiments["vnet"].normalize
    assert list(normal.normals("input")) == ["psi", "v"] and list(normal.normals("target")) == [""]
    assert normal.input["v"].model_dump() == {"transform": "identity", "scaling": "velocity"}
    assert config.parse(changed(f"{E}/normalize", {"input": dict(reversed(parts.items()))})) == config.parse(
        changed(f"{E}/normalize", {"input": parts})
    )


def test_a_config_is_frozen():
    found = config.parse(small())
    with pytest.raises(Exception, match="frozen"):
        found.results = "elsewhere"
    with pytest.raises(Exception, match="frozen"):
        found.experiments["vnet"].training.epochs = 3


def test_parsing_leaves_what_it_is_given_alone():
    raw = small()
    config.parse(raw)
    assert raw == small()


def test_whole_numbers_are_numbers():
    assert (
        config.parse(changed(f"{E}/optimizer", {"name": "adamw", "lr": 1})).experiments["vnet"].optimizer["lr"] == 1.0
    )


# ---- what is wrong: the whole line


@pytest.mark.parametrize(
    "path, value, line",
    [
        ("experimets", {}, "experimets: this section has no such key; did you mean 'experiments'?"),
        (f"{E}/crops", {"sise": 32}, "experiments.vnet.crops.sise: this section has no such key; did you mean 'size'?"),
        (f"{E}/model", {"name": "vnet", "widht": 3}, "experiments.vnet.model.widht: 'vnet' has no such key; did you mean 'width'?"),
        (f"{E}/model", "vnett", "experiments.vnet.model: unknown model 'vnett'; did you mean 'vnet'?"),
        (f"{E}/model", {"width": 3}, "experiments.vnet.model.name: missing; known: displacement_velocity, o3, penguin, racoon, styled_vnet, stylegan2_generator, unet, vnet"),
        (f"{E}/model", None, "experiments.vnet.model: got null; expected the name of a model, or a mapping with name and options"),
        (f"{E}/crops/size", "32", "experiments.vnet.crops.size: got '32'; expected an integer of at least 1, or a list of 1 to 3 such; write it without quotes"),
        (f"{E}/crops/size", 0, "experiments.vnet.crops.size: got 0; expected an integer of at least 1, or a list of 1 to 3 such"),
        (f"{E}/crops/size", [32, 0], "experiments.vnet.crops.size[1]: got 0; expected an integer of at least 1"),
        (f"{E}/crops", {}, "experiments.vnet.crops.size: missing; expected an integer of at least 1, or a list of 1 to 3 such"),
        (f"{E}/optimizer", {"name": "adamw", "lr": "1e-4"}, "experiments.vnet.optimizer.lr: got '1e-4'; expected a number above 0; YAML takes 1e-4 for text: write 1.0e-4"),
        (f"{E}/optimizer", {"name": "adamw", "lr": 1e30}, "experiments.vnet.optimizer.lr: got 1e+30; expected a number above 0 and at most 10^15"),
        (f"{E}/optimizer", {"name": "adamw", "lr": float("nan")}, "experiments.vnet.optimizer.lr: got nan; expected a finite number above 0"),
        (f"{E}/training/epochs", True, "experiments.vnet.training.epochs: got true; expected an integer of at least 0"),
        (f"{E}/training/epochs", 0, "experiments.vnet.training: epochs is 0 without initial_weights; expected at least 1, or weights to begin with"),
        (f"{E}/training/initial_weights", {"file": "a.pt"}, "experiments.vnet.training.initial_weights.file: this section has no such key; known: path, strict"),
        (f"{E}/training/augment", ["flp"], "experiments.vnet.training.augment[0]: got 'flp'; expected 'flip', 'permute' or 'shift'; did you mean 'flip'?"),
        (f"{E}/training/validation", {"fraction": 1.0}, "experiments.vnet.training.validation.fraction: got 1.0; expected a number above 0 and below 1"),
        (f"{E}/training/device", "gpu", "experiments.vnet.training.device: got 'gpu'; expected auto, cpu, cuda or cuda:N"),
        (f"{E}/evaluation", [{"name": "one_point", "bns": 3}], "experiments.vnet.evaluation[0].bns: 'one_point' has no such key; did you mean 'bins'?"),
        (f"{E}/evaluation", ["one_point", "one_point"], "experiments.vnet.evaluation: 'one_point' 2 times; expected each once"),
        (f"{E}/evaluation", [3], "experiments.vnet.evaluation[0]: got 3; expected the name of a metric, or a mapping with name and options"),
        (f"{E}/dataset", "nbdy", "experiments.vnet.dataset: unknown dataset 'nbdy'; did you mean 'nbody'?"),
        (f"{E}/dataset", 5, "experiments.vnet.dataset: got 5; expected a name like '[a-z0-9][a-z0-9_-]{0,63}'; text that looks like something else takes quotes"),
        (f"{E}/normalize", {"input": "standardize"}, "experiments.vnet.normalize.input: unknown scaling or transform 'standardize'; did you mean 'standardise'?"),
        (f"{E}/normalize", {"input": {"transfrm": "log1p"}}, "experiments.vnet.normalize.input.transfrm: this section has no such key; did you mean 'transform'?"),
        (f"{E}/normalize", {"input": {"transform": []}}, "experiments.vnet.normalize.input.transform: got []; expected 'exp', 'expm1', 'identity', 'log' or 'log1p', or a list of 1 to 9 such"),
        (f"{E}/normalize", {"input": {"transform": ["log", "lg"]}}, "experiments.vnet.normalize.input.transform: unknown transform 'lg'; did you mean 'log'?"),
        (f"{E}/normalize", {"input": {"scaling": {"name": "robust", "low": 0.6}}}, "experiments.vnet.normalize.input.scaling.low: got 0.6; expected a number above 0 and below 0.5"),
        (f"{E}/normalize", {"input": {"psi": "velocty"}}, "experiments.vnet.normalize.input.psi: unknown scaling or transform 'velocty'; did you mean 'velocity'?"),
        (f"{D}/source", {"kind": "nbdy"}, "datasets.nbody.source.kind: unknown source or simulation 'nbdy'; did you mean 'nbody'?"),
        (f"{D}/source", {**NPY, "quantities": {"input": "vectr"}}, "datasets.nbody.source.quantities.input: got 'vectr'; expected 'scalar', 'vector', 'displacement' or 'pseudovector'; did you mean 'vector'?"),
        (f"{D}/source", {**NPY, "input": {"a": 3}}, "datasets.nbody.source.input.a: got 3; expected text, or a list of such"),
        (f"{D}/source", {**NPY, "box_size": [1.0, -1.0]}, "datasets.nbody.source.box_size[1]: got -1.0; expected a number above 0"),
        (f"{D}/folds", {"count": 1}, "datasets.nbody.folds.count: got 1; expected an integer from 2 to 1000, or null"),
        (f"{D}/folds", {"count": 13}, "datasets.nbody.folds: 13 folds but 12 samples; expected at most 12"),
        (f"{D}/folds", {"run": [3]}, "datasets.nbody.folds: run is [3]; expected different folds out of 0 to 2"),
        ("datasets", {}, "datasets: got {}; expected a mapping of at least 1 name, each to a mapping with keys source, folds, on_nonfinite, verify, shard"),
        ("report", {"sections": ["sumary"]}, "report.sections[0]: unknown section 'sumary'; did you mean 'summary'?"),
        ("results", "a\nb", "results: got 'a\\nb'; expected a folder, without braces, line breaks or blanks at its ends"),
        ("results", 5, "results: got 5; expected text; text that looks like something else takes quotes"),
    ],
)  # fmt: skip
def test_the_line_of_a_refusal(path, value, line):
    assert refused(changed(path, value)) == line


def test_a_misspelt_key_explains_a_missing_one():
    raw = small()
    raw["experiments"]["vnet"]["modle"] = raw["experiments"]["vnet"].pop("model")
    assert refused(raw) == "experiments.vnet.modle: this section has no such key; did you mean 'model'?"


@pytest.mark.parametrize(
    "text, wanted", [("1e-4", "1.0e-4"), ("2.5E3", "2.5e+3"), ("-1e5", "-1.0e+5"), ("3.e7", "3.0e+7")]
)
def test_the_number_that_is_proposed_is_a_number(tmp_path, text, wanted):
    line = refused(changed(f"{E}/optimizer", {"name": "adamw", "lr": text}))
    assert line.endswith(f"write {wanted}")
    assert yaml.safe_load(wanted) == float(text)


def test_long_and_odd_values_do_not_fill_or_break_the_line():
    assert refused(changed(f"{E}/training/epochs", "x" * 10_000)).count("x") < 90
    assert "\\x1b[2J" in refused(changed(f"{E}/loss", "\x1b[2J"))
    assert "\\n" in refused(changed(f"{E}/mo\ndel", 1))


# ---- layers


def test_a_complete_file_is_used_alone(tmp_path):
    study = yaml.safe_dump({**small(), "experiments": {"mine": small()["experiments"]["vnet"]}})
    assert list(loaded(tmp_path, study).experiments) == ["mine"]


def test_any_other_file_is_laid_over_the_default(tmp_path):
    found = loaded(tmp_path, "experiments: {vnet: {training: {epochs: 2}}}")
    expected = default()["experiments"]["vnet"]
    assert found.experiments["vnet"].training.epochs == 2
    assert found.experiments["vnet"].training.batch_size == expected["training"]["batch_size"]
    assert list(found.datasets) == ["nbody"]


def test_an_experiment_may_be_added_to_the_default(tmp_path):
    text = "experiments: {other: {dataset: nbody, crops: {size: 16}, model: unet}}"
    assert list(loaded(tmp_path, text).experiments) == ["vnet", "other"]


def test_a_file_whose_experiments_need_the_default_s_datasets_is_laid_over_it(tmp_path):
    text = "datasets: {mine: {source: nbody}}\nexperiments: {other: {dataset: nbody, crops: {size: 16}, model: unet}}"
    found = loaded(tmp_path, text)
    assert list(found.datasets) == ["nbody", "mine"] and list(found.experiments) == ["vnet", "other"]


def test_without_any_file_the_default_is_used():
    assert config.load([], DEFAULT) == config.parse(default())


def test_null_removes_what_an_earlier_layer_has(tmp_path):
    text = "experiments: {vnet: null, other: {dataset: nbody, crops: {size: 16}, model: unet}}"
    assert list(loaded(tmp_path, text).experiments) == ["other"]


def test_null_for_what_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"experiments.vnett: null removes .*; did you mean 'vnet'\?"):
        loaded(tmp_path, "experiments: {vnett: null}")


@pytest.mark.parametrize(
    "text", ["experiments: {a: {dataset: [1]}}", "experiments: 3", "datasets: {x: 1}", "experiments: {a: 1}"]
)
def test_odd_layers_are_refused_like_any_other(tmp_path, text):
    with pytest.raises(ConfigError):
        loaded(tmp_path, text)


def test_overrides_of_a_command_line_are_texts(tmp_path):
    given = {"experiments": {"vnet": {"training": {"epochs": "7", "augment": ["flip"]}, "crops": {"step": "null"}}}}
    vnet = config.load([], DEFAULT, given).experiments["vnet"]
    assert (vnet.training.epochs, vnet.training.augment, vnet.crops.step) == (7, ["flip"], None)


# ---- plugins

PLUGIN = '''
"""Models of my own."""
import torch_is_not_imported_by_a_config
from m2m_core.options import Annotated, Count, Field
from m2m_core.registry import register


@register("model", "mine")
def mine(in_channels, out_channels, dims, *, width: Count = 4, copy: Annotated[int, Field(ge=2, le=9)] = 3):
    """A model.

    Options:
        width: channels
        copy: of what
    """
'''


@pytest.fixture
def plugin(tmp_path):
    def write(text=PLUGIN, name="mine.py"):
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def test_the_code_of_a_plugin_can_be_named(plugin):
    raw = changed("plugins", [plugin()], changed(f"{E}/model", {"name": "mine", "copy": 5}))
    assert config.parse(raw).experiments["vnet"].model == {"name": "mine", "width": 4, "copy": 5}
    raw["experiments"]["vnet"]["model"]["copy"] = 1
    assert refused(raw) == "experiments.vnet.model.copy: got 1; expected an integer from 2 to 9"
    raw["experiments"]["vnet"]["model"] = "mien"
    assert refused(raw) == "experiments.vnet.model: unknown model 'mien'; did you mean 'mine'?"


def test_a_plugin_is_forgotten_by_the_next_config(plugin):
    config.parse(changed("plugins", [plugin()], changed(f"{E}/model", "mine")))
    assert "unknown model" in refused(changed(f"{E}/model", "mine"))


def test_a_plugin_named_twice_is_one(plugin, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config.parse(changed("plugins", [plugin(), "mine.py", "./mine.py"]))


@pytest.mark.parametrize(
    "text, words",
    [
        (PLUGIN.replace('"mine"', '"vnet"'), "model 'vnet' is in"),
        (PLUGIN.replace('"model"', '"modle"'), "unknown kind 'modle'; did you mean 'model'?"),
        (PLUGIN.replace('"mine"', '"../x"'), "expected @register"),
        (PLUGIN.replace('"mine"', "NAME"), "expected @register"),
        (PLUGIN.replace('"model", ', ""), "expected @register"),
        (PLUGIN.replace("width: Count = 4", "width: Cuont = 4"), "option 'width' needs a type out of"),
        (PLUGIN.replace("width: Count = 4", "width=4"), "option 'width' needs a type out of"),
        (PLUGIN.replace("Count = 4", "Count = WIDTH"), "default WIDTH; expected a literal"),
        (PLUGIN.replace("width: Count", "name: Count"), "an option 'name'; expected another name"),
        (PLUGIN + "def f(:", ":16: not readable as Python"),
        (PLUGIN + "\0", "not readable as Python"),
    ],
)
def test_an_invalid_plugin_is_refused_with_its_file(plugin, text, words):
    path = plugin(text)
    line = refused(changed("plugins", [path]))
    assert path in line and words in line


def test_the_default_of_an_option_is_checked_like_a_value(plugin):
    raw = changed("plugins", [plugin(PLUGIN.replace("Count = 4", "Count = -4"))], changed(f"{E}/model", "mine"))
    assert refused(raw) == "experiments.vnet.model.width: got -4; expected an integer of at least 1"


@pytest.mark.parametrize("name", ["nowhere.py", "no_such_package", "os.path", "../x", "", "sys", "a\nb.py"])
def test_a_plugin_that_is_not_there_is_refused(name):
    assert refused(changed("plugins", [name])).startswith("plugins: ")


def test_an_installed_package_can_be_a_plugin(tmp_path, monkeypatch):
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('a config imports nothing')")
    (package / "models.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    found = config.parse(changed("plugins", ["my_package"], changed(f"{E}/model", "mine")))
    assert found.experiments["vnet"].model["width"] == 4
    assert registry.find("model", "mine").module == "my_package.models"


# ---- time


@pytest.mark.parametrize(
    "text", ["", "experiments: {vnet: {crops: {sise: 3}}}", "experiments: {vnet: {optimizer: {lr: 1e-4}}}"]
)
def test_a_config_answers_within_a_second_and_without_torch(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text or DEFAULT.read_text())
    code = f"""
import resource, sys
from m2m_core import config, door, errors
try:
    door.check(config.load([{str(tmp_path / "study.yaml")!r}], {str(DEFAULT)!r}))
except errors.ConfigError as error:
    print(error, file=sys.stderr)
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_utime + usage.ru_stime, *{{"torch", "scipy", "pandas", "matplotlib", "snakemake"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=TOP, check=True)
    seconds, *heavy = done.stdout.split()
    assert not heavy and float(seconds) < 1.0
    assert len(done.stderr.splitlines()) == bool(text)
