"""The registry: found by reading, closed, strictly typed, loaded only on demand."""

import subprocess
import sys
from pathlib import Path

import pytest

from m2m_core import registry
from m2m_core.errors import ConfigError

KINDS = {
    "criterion", "discriminator", "encoder", "export", "family", "figure", "geometry", "label_baseline",
    "label_figure", "label_fit", "label_loss", "loss", "metric", "model", "numbers", "optimizer", "patches",
    "quantiles", "reader", "requirement", "scaling", "schedule", "section", "shape", "simulation", "source",
    "task", "torch_model", "torch_scaling", "torch_transform", "tracker", "transform",
}  # fmt: skip
ENTRIES = [(kind, name) for kind in sorted(KINDS) for name in registry.entries(kind)]


@pytest.fixture(autouse=True)
def no_plugins():
    yield
    registry.use_plugins([])


def write(path, body, arguments="*, size: Count = 2"):
    imports = "from m2m_core.options import Count\nfrom m2m_core.registry import register\n"
    path.write_text(f"{imports}\n\n@register('loss', 'mine')\ndef mine(x, {arguments}):\n{body}\n")
    return str(path)


def test_the_kinds_are_known_and_none_is_empty():
    assert {kind for kind, _ in registry._table()} == KINDS


@pytest.mark.parametrize("kind, name", ENTRIES)
def test_every_entry_is_documented(kind, name):
    entry = registry.find(kind, name)
    assert entry.summary.endswith((".", ":", "?")) or entry.summary, f"{kind} {name} has no docstring"
    if kind not in ("geometry", "numbers", "patches", "requirement", "shape"):
        assert not [option for option in entry.options if option not in entry.texts]
    assert not [text for text in entry.texts if text not in entry.options]


@pytest.mark.parametrize("kind, name", ENTRIES)
def test_every_default_is_of_its_type(kind, name):
    fields = {"input": "x", "target": "y"} if kind == "source" else {}
    required = {key: value for key, value in fields.items() if key in registry.find(kind, name).options}
    required |= {"milestones": [3]} if name == "multistep" else {}
    required |= {"labels": ["gr"]} if (kind, name) == ("task", "field_to_label") else {}
    checked = registry.check(kind, name, required)
    assert checked.keys() == registry.find(kind, name).options.keys()


@pytest.mark.parametrize(
    "kinds, name",
    [
        (kinds, name)
        for kinds in (("model", "geometry"), ("discriminator", "patches"))
        for name in registry.entries(kinds[0])
    ],
)
def test_a_geometry_takes_options_of_its_model(kinds, name):
    model, geometry = (registry.find(kind, name).options for kind in kinds)
    assert geometry.keys() <= model.keys()
    assert all(geometry[key][1] == model[key][1] for key in geometry)


@pytest.mark.parametrize("name", registry.entries("shape"))
def test_a_shape_takes_options_of_its_simulation(name):
    simulation, shape = registry.find("simulation", name).options, registry.find("shape", name).options
    assert shape.keys() <= simulation.keys()
    assert all(shape[key][1] == simulation[key][1] for key in shape)


@pytest.mark.parametrize(
    "word, answer", [("vnett", "did you mean 'vnet'?"), ("os.system", ", styled_vnet, "), (3, "known: ")]
)
def test_an_unknown_name_gets_the_nearest(word, answer):
    with pytest.raises(ConfigError, match="model: unknown model") as caught:
        registry.find("model", word)
    assert answer in str(caught.value)


def test_unknown_missing_and_mistyped_options_are_refused():
    for options, words in [
        ({"widht": 3}, "x.widht: 'vnet' has no such key; did you mean 'width'?"),
        ({"width": "3"}, "x.width: got '3'; expected an integer of at least 1; write it without quotes"),
        ({"width": True}, "x.width: got true; expected an integer of at least 1"),
        ({"padding": "circular"}, "x.padding: got 'circular'; expected 'valid', 'periodic' or 'zero'"),
    ]:
        with pytest.raises(ConfigError) as caught:
            registry.check("model", "vnet", options, "x")
        assert str(caught.value) == words
    with pytest.raises(ConfigError, match="x.input: missing; expected text, or a list of such"):
        registry.check("source", "npy", {"target": "y"}, "x")


def test_values_are_copied_and_defaults_not_shared():
    first, second = (registry.check("source", "npy", {"input": "a", "target": "b"}) for _ in range(2))
    first["baselines"]["x"] = "y"
    assert second["baselines"] == {}


@pytest.mark.parametrize("option", ["copy", "schema", "json", "model_width", "validate", "_hidden"])
def test_an_option_may_have_any_name(tmp_path, option):
    registry.use_plugins([write(tmp_path / "mine.py", "    return x", f"*, {option}: Count = 2")])
    assert registry.check("loss", "mine", {option: 3}) == {option: 3}
    with pytest.raises(ConfigError, match=f"loss.{option}: got 0"):
        registry.check("loss", "mine", {option: 0})


def test_a_plugin_is_imported_when_loaded_and_under_a_private_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    registry.use_plugins([write(tmp_path / "json.py", "    return json", "")])
    (tmp_path / "json.py").write_text((tmp_path / "json.py").read_text() + "\nimport json\nprint('imported')\n")
    registry.use_plugins(["json.py"])
    entry = registry.find("loss", "mine")
    assert entry.module.startswith("m2m_plugin_") and entry.module not in sys.modules and entry.is_plugin
    assert registry.load("loss", "mine")(0).__file__ != str(tmp_path / "json.py")
    assert (
        entry.module in sys.modules
        and "json" in sys.modules
        and sys.modules["json"].__file__ != str(tmp_path / "json.py")
    )
    assert registry.load("loss", "mine") is registry.load("loss", "mine")


def test_a_plugin_that_fails_is_not_left_half_imported(tmp_path):
    registry.use_plugins([write(tmp_path / "mine.py", "    return x\nraise RuntimeError('broken')")])
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            registry.load("loss", "mine")


def test_files_that_register_for_somebody_else_are_left_alone(tmp_path):
    (tmp_path / "other.py").write_text("from atexit import register\n@register(1, 2, 3)\ndef f(): ...\n")
    registry.use_plugins([str(tmp_path / "other.py")])
    assert registry.entries("loss")


def test_a_family_of_a_plugin_is_refused_and_never_run(tmp_path):
    text = "from m2m_core.registry import register\n1 / 0\n@register('family', 'mine')\ndef mine():\n    'Mine.'\n"
    (tmp_path / "mine.py").write_text(text)
    registry.use_plugins([str(tmp_path / "mine.py")])
    with pytest.raises(ConfigError, match="mine.py: family 'mine' would be asked before any job, when no code of plug"):
        registry.entries("loss")


NESTED = "if True:\n    @register('loss', 'x')\n    def x(): ...\n"


@pytest.mark.parametrize("text", [NESTED, "@registry.register('loss', 'x')\ndef x(): ...\n"])
def test_an_unknown_name_tells_which_plugin_registers_nothing(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "found.py", "    return x")
    (tmp_path / "lost.py").write_text(f"from m2m_core import registry\n{text}")
    registry.use_plugins(["found.py", "lost.py"])
    with pytest.raises(ConfigError, match="unknown loss 'x'; known: .*; nothing in 'lost.py' is registered: expected"):
        registry.find("loss", "x")


def test_reading_the_table_imports_nothing():
    code = """
import sys
from m2m_core import registry
assert registry.entries("model") and registry.entries("optimizer")
registry.check("model", "vnet", {})
print(*[name for name in sys.modules if name.startswith("m2m_core")])
"""
    top = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=top)
    assert set(done.stdout.split()) == {f"m2m_core{x}" for x in ("", ".errors", ".options", ".registry", ".wording")}
