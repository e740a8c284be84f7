"""Faults of configs: each is refused with exit code 2, one line, the key, what was expected; and nothing runs.

The numbers C1 to C19 and S4, S8, S9 are those of the list of faults.
"""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from m2m_core import config, door, files, lock, registry
from m2m_core.config.keys import Config
from m2m_core.data import folds
from m2m_core.errors import ConfigError, RunError
from m2m_core.stages import RUNNING, Stages
from tests.config.making import DEFAULT, TOP, changed, refused, small

E, D = "experiments/vnet", "datasets/nbody"
LOAD = """
import sys
from m2m_core import config, door, errors
try:
    door.check(config.load(sys.argv[1:2], sys.argv[2], eval(sys.argv[3])))
except errors.M2MError as error:
    print(f"config: error: {error}", file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(TOP))
    yield
    registry.use_plugins([])
    assert not (tmp_path / "PWNED").exists()


def load(text, overrides=None):
    """(exit code, line) of a process that reads a file with this text, with little memory and time."""
    Path("study.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    command = [sys.executable, "-c", LOAD, "study.yaml", str(DEFAULT), repr(overrides)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limited, env={"PYTHONPATH": str(TOP)})
    lines = done.stderr.splitlines()
    assert len(lines) <= 1 and done.stdout == ""
    return done.returncode, "".join(lines).removeprefix("config: error: ")


def limited():
    resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
    resource.setrlimit(resource.RLIMIT_AS, (2 * 10**9, 2 * 10**9))


def at_the_door(raw):
    with pytest.raises(ConfigError) as caught:
        door.check(config.parse(raw))
    return str(caught.value)


def test_c1_a_misspelt_key():
    code, line = load("experiments: {vnet: {crops: {sise: 32}}}")
    assert (code, line) == (2, "experiments.vnet.crops.sise: this section has no such key; did you mean 'size'?")


@pytest.mark.parametrize("value, got", [("32", "'32'"), (32.0, "32.0"), (True, "true"), (None, "null"), ([], "[]")])
def test_c2_another_type_names_key_value_and_type(value, got):
    line = refused(changed(f"{E}/training/batch_size", value))
    assert line.startswith(f"experiments.vnet.training.batch_size: got {got}; expected an integer of at least 1")


def test_c3_a_number_that_yaml_takes_for_text():
    code, line = load("experiments: {vnet: {optimizer: {lr: 1e-4}}}")
    assert code == 2 and line.endswith("write 1.0e-4") and "experiments.vnet.optimizer.lr" in line


@pytest.mark.parametrize(
    "text, line",
    [
        ("report: {}\nreport: {}", 2), ("report:\n\ttitle: x", 2), (b"report: {}\n#\xff", 2), ("", 1),
        ("- a", 1), ("\n\n5: x", 3),
    ],
)  # fmt: skip
def test_c4_bytes_that_are_no_config_name_the_line(text, line):
    code, said = load(text)
    assert code == 2 and said.startswith(f"study.yaml:{line}: ")


@pytest.mark.parametrize("text", [b"\xef\xbb\xbfreport:\r\n  title: x\r\n", b"report: {title: x}\r\n"])
def test_c4_byte_order_mark_and_windows_line_ends_are_fine(text):
    assert load(text) == (0, "")


@pytest.mark.parametrize(
    "tag",
    [
        "!!python/object/apply:os.system [touch PWNED]",
        "!!python/object/new:os.system [touch PWNED]",
        "!!python/module:os x",
    ],
)
def test_c5_tags_run_nothing(tag):
    code, line = load(f"report: {tag}")
    assert code == 2 and "tag '!!python/" in line


def test_c6_an_alias_bomb():
    bomb = "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10))])
    code, line = load(bomb)
    assert code == 2 and "once all aliases are expanded" in line


def test_c6_nesting_that_would_overflow_the_stack():
    code, line = load("report: " + "[" * 200_000)
    assert code == 2 and "nested more than" in line


@pytest.mark.parametrize("value", ["-1", "0", ".nan", ".inf", "-.inf", "1.0e+30"])
def test_c7_numbers_that_no_one_means(value):  # every key: tests/config/test_properties.py
    code, line = load(f"experiments: {{vnet: {{optimizer: {{lr: {value}}}}}}}")
    assert code == 2 and "expected a" in line and "number above 0" in line


@pytest.mark.parametrize(
    "crops, words",
    [
        ({"size": 64}, "crops.size: 64, but sample '0000' has 32 voxels along an axis; expected 32"),
        ({"size": 32, "step": 33}, "crops.step: 33 leaves gaps between crops of 32; at most 32"),
        ({"size": 30}, "crops.size: 30; the model takes multiples of 4, nearest 28 or 32"),
    ],
)
def test_c8_crops_that_do_not_fit_tell_both_numbers_and_the_nearest(crops, words):
    line = at_the_door(changed(f"{E}/crops", crops))
    assert line.startswith("experiments.vnet.crops.") and words in line


def test_c8_a_halo_longer_than_the_box_of_a_valid_model_is_refused():
    raw = changed(f"{E}/model", {"name": "vnet", "padding": "valid"}, changed(f"{E}/crops", {"size": 28}))
    assert "28 with a halo of 20 on both sides reads 68 voxels, more than the period 32" in at_the_door(raw)


@pytest.mark.parametrize(
    "count, words",
    [(0, "from 2 to 1000"), (1, "from 2 to 1000"), (13, "13 folds but 12 samples"), (-3, "from 2 to 1000")],
)
def test_c9_folds_that_cannot_be(count, words):
    line = refused(changed(f"{D}/folds/count", count))
    assert line.startswith("datasets.nbody.folds") and words in line


def test_c9_an_empty_fold():
    given = [[f"{i:04d}" for i in range(12)], []]
    assert "without any sample: 'fold 1'" in at_the_door(changed(f"{D}/folds", {"given": given}))


def test_c10_overlapping_folds_and_samples_in_none_list_the_ids():
    half = [f"{i:04d}" for i in range(6)]
    assert "in more than one place: '0005'" in at_the_door(changed(f"{D}/folds", {"given": [half, half[5:]]}))
    assert "in no fold: '0006', '0007'" in at_the_door(changed(f"{D}/folds", {"given": [half[:3], half[3:]]}))
    assert "not in the dataset: 'x'" in at_the_door(changed(f"{D}/folds", {"given": [half, ["x"]]}))


def test_c11_a_simulation_is_never_in_two_folds():
    places = folds.assign({f"{i:04d}": f"group{i // 4}" for i in range(24)}, 3, 5)
    assert all(len({places[f"{4 * g + i:04d}"] for i in range(4)}) == 1 for g in range(6))


@pytest.mark.parametrize(
    "path, name, nearest",
    [
        (f"{E}/model", "unte", "unet"), (f"{E}/task", "field_to_feild", "field_to_field"), (f"{E}/loss", "mes", "mse"),
        (f"{E}/evaluation", ["powr_spectrum"], "power_spectrum"), (f"{E}/optimizer", "adamW", "adamw"),
        (f"{E}/schedule", {"name": "cosin"}, "cosine"), (f"{D}/source", {"kind": "hdf"}, "hdf5"),
        (f"{E}/dataset", "nbodi", "nbody"),
    ],
)  # fmt: skip
def test_c12_an_unknown_name_gets_the_nearest(path, name, nearest):
    line = refused(changed(path, name))
    assert line.startswith(path.replace("/", ".")) and line.endswith(f"did you mean {nearest!r}?")


def test_c13_options_of_a_model():
    assert refused(changed(f"{E}/model", {"name": "unet", "widht": 3})) == (
        "experiments.vnet.model.widht: 'unet' has no such key; did you mean 'width'?"
    )
    assert refused(changed(f"{D}/source", {"kind": "npy", "target": "x"})).startswith(
        "datasets.nbody.source.input: missing"
    )
    without = changed(f"{D}/source", {"kind": "npy", "input": "x"})
    assert at_the_door(without) == (
        "datasets.nbody.folds: a dataset without targets has none; expected source.target, or no folds"
    )
    del without["datasets"]["nbody"]["folds"]
    assert at_the_door(without).startswith(
        "experiments.vnet.dataset: 'nbody' has no source.target to learn from; expected"
    )
    assert "model.width: got 'a'" in refused(changed(f"{E}/model", {"name": "unet", "width": "a"}))


NAMES = [
    "../x",
    "a/b",
    "",
    ".",
    "..",
    "x" * 65,
    "x" * 300,
    "Con",
    "a ",
    " a",
    "a\n",
    "a\nb",
    "é",
    "-a",
    "_a",
    "a.b",
    "~",
    "\x00",
    "A",
    "a;b",
    "$(x)",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("table", ["datasets", "experiments", "ablations"])
def test_c15_s4_names_become_paths_and_have_to_be_words(table, name):
    raw = {**small(), "ablations": {"w": {"of": "vnet", "vary": {"loss": ["mae"]}}}}
    raw[table][name] = next(iter(raw[table].values()))
    line = refused(raw)
    assert line.startswith(f"{table}: name ") and "[a-z0-9][a-z0-9_-]{0,63}" in line


@pytest.mark.parametrize("name", ["a", "0", "x" * 64, "a-b_c", "2048"])
def test_c15_names_that_are_fine(name):
    assert name in config.parse({**small(), "experiments": {name: small()["experiments"]["vnet"]}}).experiments


def test_c15_s4_a_name_in_a_file_is_refused_before_anything_is_written():
    code, line = load("experiments: {../../x: {dataset: nbody, crops: {size: 32}, model: vnet}}")
    assert code == 2 and line.startswith("experiments: name '../../x'; expected a name like")
    assert [path.name for path in Path().iterdir()] == ["study.yaml"]


def test_s4_the_names_of_variants_are_words_whatever_varies():
    raw = changed("ablations", {"w": {"of": "vnet", "vary": {"training.device": ["cuda:1", "cpu"]}}})
    assert list(config.parse(raw).variants) == ["w-cuda-1", "w-cpu"]


def test_c16_results_that_cannot_be_written():
    Path("taken").write_text("")
    for name in ("taken", "taken/below"):
        with pytest.raises(RunError, match="is not a folder"):
            files.check_folder(config.parse(changed("results", name)).results)


@pytest.mark.parametrize("value", ["", " x", "x ", "a\nb", "a{b}", "\x1b[2J", 5, None, ["x"]])
def test_c16_results_that_are_no_path(value):
    assert refused(changed("results", value)).startswith("results: got ")


def test_c17_what_may_change_under_an_existing_run_is_listed():
    def identity(raw):
        return Stages(config.parse(raw)).training("vnet")

    others = {"save_minutes": 3.0, "checkpoint_activations": True, "detect_anomaly": True}
    assert all(identity(changed(f"{E}/training/{key}", others.get(key, 3))) == identity(small()) for key in RUNNING)
    for path, value in [
        (f"{E}/optimizer", {"name": "adamw", "lr": 0.1}),
        (f"{E}/model/width", 3),
        (f"{E}/training/batch_size", 3),
    ]:
        assert identity(changed(path, value)) != identity(small())


@pytest.mark.parametrize(
    "given, written",
    [
        ({"crops": {"size": "abc"}}, "{crops: {size: abc}}"),
        ({"optimizer": {"lr": "1e-4"}}, "{optimizer: {lr: 1e-4}}"),
        ({"training": {"epochs": "1.5"}}, "{training: {epochs: 1.5}}"),
        ({"training": {"epochs": "null"}}, "{training: {epochs: }}"),
        ({"modle": "unet"}, "{modle: unet}"), ({"model": {"bypass": "no"}}, "{model: {bypass: no}}"),
    ],
)  # fmt: skip
def test_c18_an_override_is_refused_like_a_file(given, written):
    from_file = load(f"experiments: {{vnet: {written}}}")
    assert from_file == load("report: {}", {"experiments": {"vnet": given}})
    assert from_file[0] == 2 and from_file[1].startswith("experiments.vnet.")


def test_c18_an_override_is_read_like_a_file():
    given = {
        "experiments": {
            "vnet": {"training": {"epochs": "7", "validation": "null"}, "crops": {"size": ["16", "16", "16"]}}
        }
    }
    vnet = config.load([], DEFAULT, given).experiments["vnet"]
    assert vnet.training.epochs == 7 and vnet.training.validation is None and vnet.crops.size == [16, 16, 16]


def test_c19_two_experiments_of_one_name():
    code, line = load("experiments:\n  a: {dataset: nbody}\n  a: {dataset: nbody}")
    assert (code, line) == (2, "study.yaml:3: duplicate key 'a'; expected each once")
    raw = changed("ablations", {"w": {"of": "vnet", "vary": {"model.width": [4, 4]}}})
    assert "makes 'w-4', which exists" in refused(raw)


def test_c19_two_processes_in_one_folder():
    owner = "import sys, m2m_core.lock as f\nwith f.exclusive('run'): print(1, flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", owner], stdin=-1, stdout=-1, env={"PYTHONPATH": str(TOP)}) as first:
        first.stdout.readline()
        with pytest.raises(RunError, match=rf"run: in use by process {first.pid} on "):
            with lock.exclusive("run"):
                pass
        first.stdin.close()


# ---- code that a config may name


@pytest.mark.parametrize(
    "name", ["os.system", "os", "m2m_core.files", "builtins.eval", "__import__", "torch.nn.Linear", "../mine.py"]
)
def test_s9_a_dotted_path_is_an_unknown_name(name):
    for path in (f"{E}/model", f"{E}/loss", f"{E}/task", f"{E}/normalize/input", f"{D}/source/kind"):
        assert ": unknown " in refused(changed(path, name))


TRAP = "import pathlib\npathlib.Path('PWNED').touch()\nfrom m2m_core.registry import register\n"


def test_s8_only_what_plugins_names_is_read_and_a_config_runs_none_of_it():
    Path("mine.py").write_text(TRAP + "@register('loss', 'mine')\ndef mine(x, y): ...\n")
    assert "unknown loss 'mine'" in refused(changed(f"{E}/loss", "mine"))
    found = door.check(config.parse(changed("plugins", ["mine.py"], changed(f"{E}/loss", "mine"))))
    digest = Stages(found).training("vnet")["code"]
    Path("mine.py").write_text(Path("mine.py").read_text() + "print(1)\n")
    registry.use_plugins([])
    from m2m_core import provenance

    for cached in (provenance._tree, provenance._digest, provenance._imports):
        cached.cache_clear()
    found = config.parse(changed("plugins", ["mine.py"], changed(f"{E}/loss", "mine")))
    assert Stages(found).training("vnet")["code"] != digest


def test_s8_no_other_text_of_a_config_is_imported():
    """Every text of the config is the name of a trap that lies in the path of imports."""
    Path("trap.py").write_text(TRAP)
    texts = ["results", "report/title", f"{D}/source/input", f"{D}/source/target"]
    raw = changed(f"{D}/source", {"kind": "npy", "input": "trap", "target": "trap"})
    for path in texts:
        raw = changed(path, "trap", raw)
    for name in ("trap", "trap.py"):
        for path in (f"{E}/model", f"{E}/loss", f"{E}/task", f"{E}/optimizer", f"{E}/dataset", "report/sections/0"):
            try:
                config.parse(
                    changed(path, name, raw) if "sections" not in path else {**raw, "report": {"sections": [name]}}
                )
            except ConfigError:
                pass
    assert isinstance(door.check(config.parse(raw)), Config)


def test_s8_a_plugin_shadows_nothing():
    Path("yaml.py").write_text(
        "from m2m_core.registry import register\n@register('loss', 'mine')\ndef mine(x, y): ...\n"
    )
    registry.use_plugins(["yaml.py"])
    assert registry.load("loss", "mine").__module__.startswith("m2m_plugin_")
    assert Path(sys.modules["yaml"].__file__).name == "__init__.py"
