"""What makes a stage stale: the settings of all stages before and after an edit, and who makes what is shared."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from m2m_core import config
from m2m_core.errors import ConfigError
from m2m_core.provenance import SEEN
from m2m_core.stages import BEFORE, RUNNING, Stages, is_simulated
from tests.config.making import changed, small

TOP = Path(__file__).parents[1]
E, D = "experiments/vnet", "datasets/nbody"
OF_FILES = {"kind": "npy", "input": "a/*.npy", "target": "b/*.npy"}
SPACES = ("simulation", "catalogue", "moments")


def settings(raw, name="vnet"):
    """Stage -> its settings, of one experiment and its dataset."""
    stages = Stages(config.parse(raw))
    dataset = stages.config.experiments[name].dataset
    said = {stage: getattr(stages, stage)(name) for stage in BEFORE}
    said |= {"catalogue": stages.catalogue(dataset), "report": stages.report()}
    said["moments"] = {t: stages.moments(dataset, t) for t in stages.transforms(name)}
    if is_simulated(stages.config.datasets[dataset]):
        said["simulation"] = stages.simulation(dataset)
    return said


def stale(before, after):
    """The stages whose own settings an edit changes; what follows them reruns because of its inputs."""
    old, new = settings(before), settings(after)
    return {stage for stage in new if old.get(stage) != new[stage]}


@pytest.mark.parametrize(
    "path, value, expected",
    [
        (f"{E}/evaluation", ["one_point"], {"evaluation", "report"}),
        (f"{E}/evaluation", [{"name": "one_point", "bins": 7}], {"evaluation", "report"}),
        (f"{E}/training/epochs", 31, {"training", "report"}),
        (f"{E}/training/seed", 1, {"training", "report"}),
        (f"{E}/optimizer", {"name": "adamw", "lr": 0.1}, {"training", "report"}),
        (f"{E}/loss", "mae", {"training", "report"}),
        (f"{E}/model/width", 9, {"training", "report"}),
        (f"{E}/model/bypass", False, {"training", "report"}),
        (f"{E}/model/depth", 3, {"crops", "training", "report"}),
        (f"{E}/model/padding", "zero", {"crops", "training", "report"}),
        (f"{E}/crops/size", 16, {"crops", "training", "report"}),
        (f"{E}/crops/step", 8, {"crops", "training", "report"}),
        (f"{E}/inference/tile", 16, {"inference", "report"}),
        (f"{E}/inference/overlap", 4, {"inference", "report"}),
        (f"{E}/inference/compression", "gzip", {"inference", "report"}),
        (f"{E}/normalize", {"input": "minmax"}, {"statistics", "training", "report"}),
        (f"{E}/training/workers", 3, {"report"}),
        (f"{E}/training/save_minutes", 1.0, {"report"}),
        (f"{E}/training/threads", 1, {"report"}),
        (f"{E}/training/gpus", 2, {"report"}),
        (f"{E}/training/nodes", 2, {"report"}),
        (f"{E}/training/checkpoint_activations", True, {"report"}),
        (f"{E}/training/detect_anomaly", True, {"report"}),
        (f"{E}/training/accumulate", 2, {"training", "report"}),
        (f"{E}/training/channels_last", True, {"training", "report"}),
        (f"{D}/folds/seed", 5, {"catalogue", "report"}),
        (f"{D}/folds/count", 4, {"catalogue", "report"}),
        (f"{D}/folds/run", [0], {"report"}),
        (f"{D}/verify", "full", {"report"}),
        (f"{D}/shard", 7, {"report"}),
        (f"{D}/on_nonfinite", "mask", {"catalogue", "moments", "report"}),
        (f"{D}/source/samples", 24, {"catalogue", "report"}),
        (f"{D}/source/mesh", 64, {"simulation", "catalogue", "report"}),
        (f"{D}/source/seed", 7, {"simulation", "catalogue", "report"}),
        ("report/title", "Other", {"report"}),
        ("ablations", {"w": {"of": "vnet", "vary": {"model.width": [4]}}}, {"report"}),
    ],
)
def test_an_edit_changes_the_settings_of_the_stages_that_read_it(path, value, expected):
    assert stale(small(), changed(path, value)) == expected


@pytest.mark.parametrize(
    "key, value",
    [
        ("weight", 0.5), ("criterion", "hinge"), ("discriminator", {"name": "patchgan", "width": 8}), ("start", 2),
        ("discriminator", "patchgan42"), ("optimizer", {"name": "adamw", "lr": 0.1}), ("schedule", "constant"),
    ],
)  # fmt: skip
def test_an_edit_of_an_adversary_trains_anew_and_nothing_before(key, value):
    before = changed(f"{E}/task", {"name": "adversarial"})
    assert stale(before, changed(f"{E}/task/{key}", value, before)) == {"training", "report"}


def test_training_alone_depends_on_the_code_of_the_discriminator_that_is_chosen():
    task = {"name": "adversarial", "schedule": "constant"}
    stages = Stages(config.parse(changed(f"{E}/task", task)))
    modules = {stage: SEEN[getattr(stages, stage)("vnet")["code"]].keys() for stage in BEFORE}
    named = {f"m2m_core.{name}" for name in ("models.patchgan", "models.patches", "tasks.criteria")}
    assert named <= modules["training"] and "m2m_core.models.stylegan2" not in modules["training"]
    assert not any(named & modules[stage] for stage in BEFORE if stage != "training")
    assert "m2m_core.tasks.adversary" in modules["inference"] and "m2m_core.models.vnet" in modules["inference"]


def test_weights_to_begin_with_count_by_their_content(tmp_path):
    """Another file under the same name trains anew; one that is not there is refused at the door, not here."""
    path = tmp_path / "state.pt"
    raw = changed(f"{E}/training/initial_weights", str(path))
    nothing = settings(raw)
    assert stale(small(), raw) == {"training", "report"}
    path.write_bytes(b"one")
    one = settings(raw)
    path.write_bytes(b"two")
    two = settings(raw)
    for before, after in ((nothing, one), (one, two)):
        assert {stage for stage in after if before.get(stage) != after[stage]} == {"training"}
    searched = [Stages(config.parse(changed("ablations", {"s": SEARCH}, raw))).search("s")]
    path.write_bytes(b"one")
    searched.append(Stages(config.parse(changed("ablations", {"s": SEARCH}, raw))).search("s"))
    assert searched[0] != searched[1] and "initial_weights" not in searched[0]["base"]


def test_the_order_of_keys_and_files_that_say_the_same_change_nothing():
    raw = small()
    raw["experiments"]["vnet"] = dict(reversed(raw["experiments"]["vnet"].items()))
    raw["experiments"]["vnet"]["model"] = dict(reversed(raw["experiments"]["vnet"]["model"].items()))
    raw["experiments"]["vnet"] |= {"optimizer": {"name": "adamw", "lr": 1.0e-3}, "training": {"epochs": 30}}
    assert stale(small(), raw) == set()


def test_a_transform_adds_its_moments_and_leaves_the_others():
    old, new = (
        settings(small()),
        settings(changed(f"{E}/normalize", {"target": {"transform": "log1p", "scaling": "minmax"}})),
    )
    assert set(old["moments"]) == {"identity"} and set(new["moments"]) == {"identity", "log1p"}
    assert old["moments"]["identity"] == new["moments"]["identity"]


def test_a_scaling_asks_for_quantiles_and_a_chain_for_moments_of_its_own():
    robust = {"transform": ["log", "log1p"], "scaling": {"name": "robust", "low": 0.1}}
    raw = changed(f"{E}/normalize", {"input": "robust", "target": robust}, changed(f"{D}/source", OF_FILES))
    stages = Stages(config.parse(raw))
    assert stages.transforms("vnet") == stages.sketched("vnet") == ["identity", "log-log1p"]
    assert stages.moments("nbody", "log-log1p")["transform"] == ["log", "log1p"]
    assert Stages(config.parse(small())).sketched("vnet") == []


def test_what_may_change_without_a_new_training_is_a_listed_set():
    looking = ("checkpoint_activations", "detect_anomaly")
    assert RUNNING == ("workers", "save_steps", "save_minutes", "keep", "gpus", "nodes", "threads", *looking)
    stages = Stages(config.parse(small()))
    assert not set(RUNNING) & stages.training("vnet")["training"].keys()
    assert set(RUNNING) == stages.running("vnet")["training"].keys()


def test_all_settings_are_json():
    for raw in (small(), changed(f"{D}/source", OF_FILES)):
        assert json.loads(json.dumps(settings(raw), allow_nan=False)) == settings(raw)


# ---- sharing


def owners(raw, stage):
    stages = Stages(config.parse(raw))
    return {name: stages.owner(name, stage) for name in stages.config.experiments}


def ablated(vary):
    return changed("ablations", {"w": {"of": "vnet", "vary": vary}})


def test_an_ablation_shares_every_stage_that_it_does_not_change():
    raw = ablated({"model.width": [8, 4]})  # 8 is the base
    for stage in ("statistics", "crops"):
        assert set(owners(raw, stage).values()) == {"vnet"}
    for stage in ("training", "inference", "evaluation"):
        assert owners(raw, stage) == {"vnet": "vnet", "w-8": "vnet", "w-4": "w-4"}


def test_variants_share_with_each_other():
    raw = ablated({"crops.size": [16], "model.width": [4, 2], "evaluation": [["one_point"], ["power_spectrum"]]})
    crops, training = owners(raw, "crops"), owners(raw, "training")
    first = "w-16-4-one-point"
    assert {crops[name] for name in crops if name != "vnet"} == {first}
    assert training["w-16-4-power-spectrum"] == first and training["w-16-2-power-spectrum"] == "w-16-2-one-point"
    assert len(set(owners(raw, "evaluation").values())) == 5


def test_what_follows_a_difference_is_not_shared():
    raw = ablated({"normalize.input": ["minmax"]})
    assert owners(raw, "statistics")["w-minmax"] == "w-minmax" and owners(raw, "crops")["w-minmax"] == "vnet"
    assert owners(raw, "inference")["w-minmax"] == "w-minmax"


# ---- searches

SEARCH = {"of": "vnet", "draw": {"model.width": [2, 4]}, "search": {"trials": 5}}


def searching(path=None, value=None):
    raw = changed("ablations", {"s": SEARCH})
    return Stages(config.parse(changed(path, value, raw) if path else raw)).search("s")


@pytest.mark.parametrize(
    "path, value, is_stale",
    [
        ("ablations/s/search/trials", 9, True), ("ablations/s/search/seed", 1, True),
        ("ablations/s/draw", {"model.width": [2, 4, 8]}, True), (f"{E}/training/epochs", 31, True),
        (f"{E}/loss", "mae", True), (f"{E}/crops/size", 16, True), (f"{E}/evaluation", ["one_point"], False),
        (f"{E}/inference/tile", 16, False), (f"{E}/training/workers", 3, False), (f"{D}/folds/run", [0], False),
        ("ablations/w", {"of": "vnet", "vary": {"model.width": [4]}}, False), ("report/title", "Other", False),
    ],
)  # fmt: skip
def test_what_makes_a_search_stale(path, value, is_stale):
    assert (searching(path, value) != searching()) == is_stale


def test_a_search_depends_on_the_code_of_all_that_it_may_choose():
    narrow, wide = (searching("ablations/s/draw", {"model": names})["code"] for names in (["vnet"], ["vnet", "unet"]))
    assert narrow == searching()["code"] != wide


def test_a_search_adds_nothing_to_its_base():
    before, after = Stages(config.parse(small())), Stages(config.parse(changed("ablations", {"s": SEARCH})))
    assert all(getattr(before, stage)("vnet") == getattr(after, stage)("vnet") for stage in BEFORE)
    assert after.members("s") == ["vnet"]
    assert json.loads(json.dumps(after.search("s"))) == after.search("s")


def test_the_members_of_an_ablation_are_its_base_and_its_own_variants():
    raw = changed("ablations", {"w": {"of": "vnet", "vary": {"model.width": [4]}},
                                "n": {"of": "vnet", "variants": {"long": {"training.epochs": 90}}}})  # fmt: skip
    stages = Stages(config.parse(raw))
    assert stages.members("w") == ["vnet", "w-4"] and stages.members("n") == ["vnet", "n-long"]
    labels = {name: stages.description(name)["label"] for name in stages.config.experiments}
    assert labels == {"vnet": "vnet", "w-4": "vnet, model.width = 4", "n-long": "n-long"}


def test_experiments_on_two_datasets_share_nothing():
    raw = changed("datasets/other", small()["datasets"]["nbody"])
    raw["experiments"]["twin"] = {**raw["experiments"]["vnet"], "dataset": "other"}
    assert all(owners(raw, stage)["twin"] == "twin" for stage in BEFORE)


def test_an_ablation_leaves_the_settings_of_others_alone():
    before, after = (Stages(config.parse(raw)) for raw in (small(), ablated({"model.width": [4, 16]})))
    for stage in BEFORE:
        assert getattr(before, stage)("vnet") == getattr(after, stage)("vnet")
    assert before.simulation("nbody") == after.simulation("nbody") and before.catalogue("nbody") == after.catalogue(
        "nbody"
    )


def test_figures_follow_what_is_measured():
    stages = Stages(config.parse(changed(f"{E}/evaluation", ["power_spectrum"])))
    assert {"power", "transfer"} <= set(stages.figures("vnet")) and "one_point" not in stages.figures("vnet")
    assert all(stages.caption(figure) for figure in stages.figures("vnet"))


def test_an_unknown_experiment_gets_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown 'vnte'; did you mean 'vnet'\?"):
        Stages(config.parse(small())).training("vnte")


# ---- code

SAY = """
import json, sys
from m2m_core import config
from m2m_core.stages import BEFORE, Stages
raw = json.load(sys.stdin)
raw["experiments"]["unet"] = {**raw["experiments"]["vnet"], "model": "unet", "loss": "mae"}
raw["ablations"] = {"s": {"of": "vnet", "draw": {"model.width": [2, 4]}, "search": {"trials": 5}}}
stages = Stages(config.parse(raw))
said = {f"{name} {stage}": getattr(stages, stage)(name) for name in ("vnet", "unet") for stage in BEFORE}
said |= {"simulation": stages.simulation("nbody"), "catalogue": stages.catalogue("nbody"), "report": stages.report()}
said |= {"moments": stages.moments("nbody", "identity"), "figure": stages.figure("power")}
said |= {"search": stages.search("s"), "comparison": stages.comparison(), "trials": stages.trials("s")}
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(TOP / "m2m_core", folder / "m2m_core", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def said(folder):
    command = [sys.executable, "-c", SAY]
    done = subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(folder)}, input=json.dumps(small()), text=True,
                          capture_output=True, check=True)  # fmt: skip
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def unedited(package):
    return said(package)


STEPS = ("training", "inference", "evaluation")
EVERY = {f"{name} {stage}" for name in ("vnet", "unet") for stage in STEPS}
SOME = {
    "models/unet.py": {"unet training", "unet inference"},
    "models/vnet.py": {"vnet training", "vnet inference", "search"},
    "training/loop.py": {"vnet training", "unet training", "search"},
    "data/folds.py": {"catalogue"},
    "simulations/nbody.py": {"simulation"},
    "metrics/one_point.py": {"vnet evaluation", "unet evaluation"},
    "report/page.py": {"report"},
    "report/page.css": {"report"},
    "report/figures/power.py": {"figure"},
    "report/figures/comparison.py": {"comparison", "report"},
    "search/journal.py": {"search"},
    "config/drawing.py": set(),
    "config/keys.py": set(),
    "stages.py": set(),
    "schema.py": set(),
    "door.py": set(),
    "script.py": set(),
}


@pytest.mark.parametrize("file", SOME)
def test_an_edit_of_code_touches_what_runs_it(package, unedited, file):
    path = package / "m2m_core" / file
    text = path.read_text()
    path.write_text(text + ("\nEDITED = 1\n" if path.suffix == ".py" else "\n/* edited */\n"))
    try:
        touched = {stage for stage, now in said(package).items() if now != unedited[stage]}
    finally:
        path.write_text(text)
    assert SOME[file] <= touched
    if "data" not in file:
        assert touched == SOME[file]


def test_comments_layout_and_docstrings_touch_nothing(package, unedited):
    originals = {path: path.read_text() for path in (package / "m2m_core").rglob("*.py")}
    for path, text in originals.items():
        path.write_text(text.replace('"""\n', '  Reworded."""\n\n\n', 1) + "\n# a comment\n")
    try:
        assert said(package) == unedited
    finally:
        for path, text in originals.items():
            path.write_text(text)
