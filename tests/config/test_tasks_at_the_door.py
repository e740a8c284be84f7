"""Tasks, networks, losses and examples that do not go together are refused at the door, in one line, without torch."""

import subprocess
import sys

import pytest
import yaml

from m2m_core import config, door
from m2m_core.errors import ConfigError
from m2m_core.stages import Stages

TASK = {"name": "field_to_label", "labels": ["gr"]}
GRAVITY = {"kind": "gravity", "samples": 12, "mesh": 32}
EXPERIMENT = {"dataset": "d", "task": TASK, "crops": {"kind": "slices"}, "model": "racoon"}
FIELD = {"dataset": "d", "crops": {"size": 8}, "model": "vnet"}


def checked(source=GRAVITY, experiment=EXPERIMENT, **changes):
    raw = {"datasets": {"d": {"source": source}}, "experiments": {"e": {**experiment, **changes}}}
    return door.check(config.parse(raw))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"model": "vnet"}, "model.name: 'vnet' is not for task 'field_to_label'; expected one of o3, "),
        ({"model": "racon"}, "model: unknown model 'racon'; did you mean 'racoon'"),
        ({"loss": "mse"}, "loss: 'mse' is not for task 'field_to_label'; expected one of binary_cross_entropy, "),
        ({"loss": "moments"}, "loss: 'moments' is for task.answer regression, not binary; expected binary_"),
        ({"evaluation": ["one_point"]}, "evaluation: 'one_point' is not for task 'field_to_label'; expected one of p"),
        ({"task": "field_to_label"}, "task.labels: missing"),
        ({"task": {**TASK, "labels": ["gw"]}}, "task.labels: the samples have no number 'gw'; known: gr, omega_m"),
        ({"task": {**TASK, "labels": ["gr", "seed"]}}, "task.labels: 2 for answer binary; expected one, or regression"),
        ({"task": {**TASK, "labels": ["seed"] * 2, "answer": "regression"}}, "task.labels: 'seed' stands twice"),
        ({"task": {**TASK, "answer": "classes"}}, "task.classes: None, for answer classes; expected a number"),
        ({"task": {**TASK, "classes": 3}}, "task.classes: 3, for answer binary; expected a number for classes alone"),
        ({"task": {**TASK, "answer": "regression", "label_noise": 0.1}}, "task.label_noise: there are no wrong"),
        ({"crops": {"size": 32}}, "crops: of a task that tells labels; expected {kind: slices} or {kind: whole}"),
        ({"styles": {"redshift": {}}}, "styles: redshift, but model.name 'racoon' takes none"),
        ({"inference": {"tile": 4}}, "inference.tile: 4, but labels are told, no fields; expected no such key"),
        ({"normalize": {"target": "displacement"}}, "normalize.target: labels are no field; expected no such key"),
        ({"training": {"augment_factor": 0.1}}, "training.augment_factor: is for crops of two fields; expected null"),
        (
            {"task": {**TASK, "labels": ["sigma_8"], "answer": "regression"}, "loss": "log_moments",
             "training": {"accumulate": 2}},
            "loss: 'log_moments' needs the whole batch at once, here in 2 parts",
        ),
    ],
)  # fmt: skip
def test_the_line_of_a_refusal(changes, line):
    with pytest.raises(ConfigError) as caught:
        checked(**changes)
    assert str(caught.value).startswith(f"experiments.e.{line}") and "\n" not in str(caught.value)


@pytest.mark.parametrize("snapshot", [4, 1.0])
def test_names_that_yaml_takes_for_numbers_ask_for_quotes(snapshot):
    source = {"kind": "cubes", "input": "{seed}_{snapshot}.h5", "redshifts": {snapshot: 1.0}}
    with pytest.raises(ConfigError, match=f"source.redshifts: name {snapshot}; expected text; .* takes quotes$"):
        checked(source)


def test_slices_that_the_network_does_not_take_are_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"crops: 24; the model takes 4, 5, 6 or 7 times .* nearest 32$"):
        checked({**GRAVITY, "mesh": 24})


def test_networks_and_examples_of_labels_are_not_for_fields():
    npy = {"kind": "npy", "input": "a", "target": "b"}
    checked(npy, FIELD)
    for changes, line in [
        ({"model": "racoon"}, "model.name: 'racoon' is not for task 'field_to_field'; expected one of displacement"),
        ({"loss": "moments"}, "loss: 'moments' is not for task 'field_to_field'"),
        ({"crops": {"kind": "slices"}}, "crops.kind: is for tasks that tell labels"),
    ]:
        with pytest.raises(ConfigError, match=line):
            checked(npy, FIELD, **changes)
    with pytest.raises(ConfigError, match="dataset: its source has no target; expected one, or task field_to_label"):
        checked({"kind": "cubes", "input": "a_{seed}.h5"}, FIELD)


def test_loss_and_baseline_are_those_of_the_labels_unless_given():
    chosen = checked().experiments["e"]
    assert chosen.loss["name"] == "binary_cross_entropy"
    assert [one["name"] for one in chosen.evaluation] == ["power_spectrum_baseline"]
    others = {"classes": "categorical_cross_entropy", "regression": "gaussian_likelihood"}
    for answer, loss in others.items():
        task = {**TASK, "answer": answer, "classes": 3 if answer == "classes" else None}
        assert checked(task=task).experiments["e"].loss["name"] == loss
    assert checked({"kind": "npy", "input": "a", "target": "b"}, FIELD).experiments["e"].loss == {"name": "mse"}


def test_figures_are_those_of_the_labels():
    known = {answer: {**TASK, "labels": ["sigma_8"], "answer": answer} for answer in ("binary", "regression")}
    drawn = {answer: Stages(checked(task=task)).figures("e") for answer, task in known.items()}
    assert set(drawn["binary"]) == {"learning", "roc", "reliability", "confusion", "saliency"}
    assert set(drawn["regression"]) == {"learning", "recovery", "saliency"}


def test_what_reruns_when_a_key_of_labels_changes():
    base, stages = Stages(checked()), ("statistics", "crops", "training", "inference", "evaluation")

    def rerun(**changes):
        other = Stages(checked(**changes))
        return [stage for stage in stages if getattr(base, stage)("e") != getattr(other, stage)("e")]

    assert rerun(task={**TASK, "label_noise": 0.1}) == ["training"]
    assert rerun(inference={"saliency": 3}) == ["inference"]
    assert rerun(evaluation=[{"name": "power_spectrum_baseline", "bins": 8}]) == ["evaluation"]
    assert rerun(model={"name": "racoon", "layer_param": 4}) == ["training"]
    assert rerun(crops={"kind": "slices", "axes": [0]}) == ["crops"] or "training" in rerun(crops={"kind": "whole"})


def test_the_door_needs_no_torch(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({"datasets": {"d": {"source": GRAVITY}}, "experiments": {"e": EXPERIMENT}}))
    code = f"import sys; from m2m_core import config, door; door.check(config.load([{str(path)!r}]))"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'torch' not in sys.modules"], check=True)


def test_maps_without_targets_have_folds_where_labels_are_learnt(tmp_path):
    (tmp_path / "numbers.csv").write_text("id,gr\n")
    source = {"kind": "npy", "input": "a/*.npy", "target": None, "parameters": str(tmp_path / "numbers.csv")}
    raw = {"datasets": {"d": {"source": source, "folds": {"count": 5}}}}
    told = door.check(config.parse({**raw, "experiments": {"e": {**EXPERIMENT, "crops": {"kind": "whole"}}}}))
    assert Stages(told).catalogue("d")["tells"] and told.datasets["d"].folds.number == 5
