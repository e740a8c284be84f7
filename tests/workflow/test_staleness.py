"""An edit reruns exactly the stages that read it, seen by dry-run."""

import pytest

pytestmark = pytest.mark.workflow

AFTER_TRAINING = {"inference", "evaluation", "figure", "report"}
EDITS = {
    "evaluation": (("experiments", "tiny", "evaluation"), ["mean_square_error"], {"evaluation", "figure", "report"}),
    "epochs": (("experiments", "tiny", "training", "epochs"), 5, {"training", *AFTER_TRAINING}),
    "crops": (("experiments", "tiny", "crops", "size"), 4, {"crops", "training", *AFTER_TRAINING}),
    "width": (("experiments", "tiny", "model", "width"), 3, {"training", *AFTER_TRAINING}),
    "folds": (
        ("datasets", "boxes", "folds", "seed"),
        9,
        {"catalogue", "moments", "statistics", "crops", "training", *AFTER_TRAINING},
    ),
    "normalize": (
        ("experiments", "tiny", "normalize", "target"),
        "standardise",
        {"statistics", "training", *AFTER_TRAINING},
    ),
    "tile": (("experiments", "tiny", "inference", "tile"), 4, AFTER_TRAINING),
    "workers": (("experiments", "tiny", "training", "workers"), 0, {"figure", "report"}),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_config_edit(project, name):
    keys, value, expected = EDITS[name]
    section = project.config
    for key in keys[:-1]:
        section = section.setdefault(key, {})
    section[keys[-1]] = value
    project.save()
    assert set(project.stale()) == expected


def test_samples_that_are_added_are_all_that_is_simulated(project):
    project.config["datasets"]["boxes"]["source"]["samples"] = 7
    project.save()
    assert project.stale()["simulation"] == 2


def test_an_ablation_runs_only_its_own_training_and_what_follows(project):
    project.config["ablations"] = {"width": {"of": "tiny", "vary": {"model.width": [2, 3]}}}
    project.save()
    stale = project.stale()
    assert stale["training"] == stale["inference"] == stale["evaluation"] == 2  # width 3; width 2 is the base
    assert not {"simulation", "catalogue", "moments", "statistics", "crops"} & set(stale)


def test_code_edits(project):
    package = project.folder / "m2m_core"
    for file in (package / "models/vnet.py", package / "crops.py", package / "training/loop.py"):
        file.write_text(file.read_text() + "\n# a comment\n")
    assert project.stale() == {}
    unet = package / "models/unet.py"
    unet.write_text(unet.read_text() + "\nEDITED = 1\n")
    assert project.stale() == {}
    vnet = package / "models/vnet.py"
    vnet.write_text(vnet.read_text() + "\nEDITED = 1\n")
    assert set(project.stale()) == {"training", *AFTER_TRAINING}


def test_a_touched_output_is_no_reason_to_run(project):
    catalogue = project.path("datasets/boxes/catalogue.csv")
    catalogue.touch()
    assert "training" not in project.stale()
