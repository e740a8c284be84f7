"""A search: what it writes, that no kill changes its trials, and which trials fail without ending it."""

import csv
import io
import os
import random
import signal
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import torch
import yaml

from m2m_core import config
from m2m_core.errors import ConfigError, RunError, Stopped
from m2m_core.models import geometry_of
from m2m_core.search import stage
from m2m_core.search.journal import Journal
from m2m_core.search.outcome import Outcome
from m2m_core.training.loop import Loop
from m2m_core.training.tracking import Tracker
from tests.tasks.pipeline import PRIVATE, RUNNING, Files
from tests.tasks.studies import EXPERIMENTS, fields
from tests.training.toys import in_child

torch.set_num_threads(1)
LR = {"optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True}}
DRAW = LR | {"model.width": {"low": 1, "high": 2, "log": False}}
CHOSEN = {"trials": 4, "seed": 0, "sampler": "tpe", "pruner": "none", "fold": 0}


@pytest.fixture(autouse=True)
def without_tensorboard(monkeypatch):
    monkeypatch.setattr(Tracker, "__init__", lambda *_: None)
    for name in ("scalars", "pictures", "close"):
        monkeypatch.setattr(Tracker, name, lambda *_: None)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory):
    return fields(tmp_path_factory.mktemp("fields"))


class Run(SimpleNamespace):
    """A search in a folder of its own: its files, and what it said."""

    def __init__(self, folder, catalogue, draw=None, of=None, training=None, **chosen) -> None:
        changes = {"training": {"save_steps": 1, "threads": 1, **(training or {})}, **(of or {})}
        files = Files(folder, catalogue, **changes)
        e = files.experiment
        base = {key: value for key, value in e.items() if key not in PRIVATE}
        base["training"] = {key: value for key, value in e["training"].items() if key not in RUNNING}
        known = {"base": base, "of": "e", "ablation": "s", "code": "c0de"}
        self.settings = {**known, "draw": draw or DRAW, "search": CHOSEN | chosen}
        self.running = {key: e[key] for key in PRIVATE} | {"training": {key: e["training"][key] for key in RUNNING}}
        outputs = SimpleNamespace(trials=str(folder / "trials.csv"), best=str(folder / "best.yaml"))
        super().__init__(folder=folder, files=files, outputs=outputs, said=[])

    def __call__(self, **chosen) -> str:
        settings = {**self.settings, "search": self.settings["search"] | chosen}
        params = SimpleNamespace(verify="size", folder=f"{self.folder}/search")
        job = SimpleNamespace(params=params, wildcards={}, name="search s", console=io.StringIO(), say=self.said.append)
        return stage.search(settings, self.running, self.files, self.outputs, config.trial_of, job)

    @property
    def rows(self) -> list[dict]:
        with open(self.outputs.trials, newline="") as stream:
            return list(csv.DictReader(stream))

    @property
    def result(self) -> list[dict]:
        """All that does not depend on the clock and the folder."""
        return [{key: value for key, value in row.items() if key not in ("seconds", "reason")} for row in self.rows]

    @property
    def journal(self):
        (path,) = self.folder.glob("search/*/journal.log")
        return path

    @property
    def updates(self) -> int:
        """Updates that this run's folder knows of."""
        return sum(int(row["steps"]) for row in self.rows if not row["reason"].startswith("as trial"))


@pytest.fixture
def run(tmp_path, catalogue):
    return lambda name="run", *args, **kwargs: Run(tmp_path / name, catalogue, *args, **kwargs)


def counting(monkeypatch, action, at):
    """Do `action` after update number `at`, of all trials together; returns how many there were."""
    update, count = Loop._update, [0]

    def counted(loop, batch):
        update(loop, batch)
        count[0] += 1
        if count[0] == at:
            action()

    monkeypatch.setattr(Loop, "_update", counted)
    return count


# ---- what it writes


def test_the_table_has_a_row_for_each_trial_and_the_config_adds_the_best(run, tmp_path):
    first = run()
    line = first()
    rows = first.rows
    assert list(rows[0]) == ["number", *DRAW, "score", "steps", "seconds", "state", "reason"]
    assert [row["number"] for row in rows] == list("0123") and {row["state"] for row in rows} == {"complete"}
    assert all(1e-4 <= float(row["optimizer.lr"]) <= 1e-1 and row["model.width"] in "12" for row in rows)
    best = min(rows, key=lambda row: float(row["score"]))
    assert line == f"4 trials; best score {float(best['score']):.4g} of trial {best['number']}"
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    found = config.load([tmp_path / "base.yaml", first.outputs.best])
    chosen = found.experiments[f"s-best-trial-{best['number']}"]
    assert chosen.optimizer["lr"] == float(best["optimizer.lr"]) and chosen.model["width"] == int(best["model.width"])
    assert "trial 0 of 4: optimizer.lr = " in first.said[0] and "best so far" in first.said[-1]


BASE = {
    "datasets": {"d": {"source": {"kind": "npy", "input": "a", "target": "b"}}},
    "experiments": {"e": {"dataset": "d", "crops": {"size": 8}, "model": "vnet"}},
}


def test_the_score_is_the_best_validation_of_the_history(run):
    first = run(trials=1)
    first()
    (path,) = first.folder.glob("search/*/trial-0/history.csv")
    scores = [float(row["validation"]) for row in csv.DictReader(open(path)) if row["validation"]]
    assert len(scores) == 3 and float(first.rows[0]["score"]) == min(scores)
    assert first.rows[0]["steps"] == "6" and float(first.rows[0]["seconds"]) > 0


def test_a_trial_is_the_training_of_an_experiment_with_its_values(run, catalogue, tmp_path):
    from tests.tasks.pipeline import training

    first = run(trials=1)
    first()
    values = first.rows[0]
    model = {"name": "vnet", "width": int(values["model.width"]), "depth": 1, "padding": "periodic"}
    optimizer = {"name": "adamw", "lr": float(values["optimizer.lr"])}
    other = Files(tmp_path / "experiment", catalogue, optimizer=optimizer, model=model)
    assert f"best score {float(values['score']):.4g} " in training(other)


def test_options_of_the_task_are_searched(run):
    """Each trial has its own discriminator and weight, and is judged by the spectrum that the base chooses by."""
    task = EXPERIMENTS["adversarial"]["task"] | {"choose": "spectrum"}
    draw = {"task.weight": [0.0, 1.0], "task.discriminator.width": [2, 4]}
    first = run(draw=draw, of={"task": task}, training={"epochs": 1}, sampler="random", trials=2)
    first()
    assert {row["state"] for row in first.rows} == {"complete"}
    scores = {(row["task.weight"], row["task.discriminator.width"]): row["score"] for row in first.rows}
    assert len(set(scores.values())) >= 2
    (path, *_) = first.folder.glob("search/*/trial-0/history.csv")
    assert {"adversarial", "critic"} <= set(next(csv.reader(open(path))))
    best = yaml.safe_load(open(first.outputs.best))["ablations"]["s-best"]["variants"]
    assert set(next(iter(best.values()))) == set(draw)


def test_other_tools_for_optuna_read_the_journal(run):
    first = run()
    first()
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(first.journal)))
    study = optuna.load_study(study_name=None, storage=storage)
    assert study.best_value == min(float(row["score"]) for row in first.rows) and len(study.trials) == 4


def test_weights_of_finished_trials_are_not_kept(run):
    first = run()
    first()
    assert not list(first.folder.rglob("*.pt")) and len(list(first.folder.rglob("history.csv"))) == 4


# ---- going on


@pytest.mark.parametrize("pruner", ["none", "median"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_search_that_is_stopped_anywhere_gives_the_same_trials(run, monkeypatch, number, pruner):
    whole, cut = (run(name, trials=9, pruner=pruner) for name in ("whole", "cut"))
    whole()
    rng, attempts = random.Random(number), 0
    while attempts < 3:
        with monkeypatch.context() as patch:
            counting(patch, lambda: os.kill(os.getpid(), number), at=rng.randint(1, 14))
            code = in_child(lambda: stopping(cut))
        assert code == (143 if number == signal.SIGTERM else -9)
        attempts += 1
    made = counting(monkeypatch, lambda: None, at=-1)
    cut()
    assert cut.result == whole.result
    assert made[0] < whole.updates  # no finished trial was repeated
    if pruner == "median":
        assert "pruned" in {row["state"] for row in whole.rows}


def stopping(cut):
    try:
        cut()
    except Stopped:
        os._exit(143)


@pytest.mark.parametrize("place", ["training done", "remembered", "before the table"])
def test_killed_between_two_trials(run, monkeypatch, place):
    whole, cut = run("whole"), run("cut")
    whole()
    function = {
        "training done": (Journal, "add"),
        "remembered": (stage, "_forget_weights"),
        "before the table": (stage, "_table"),
    }
    with monkeypatch.context() as patch:
        patch.setattr(*function[place], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        assert in_child(cut) == -9
    cut()
    assert cut.result == whole.result


def test_a_torn_last_line_and_a_lock_of_a_dead_process_are_forgotten(run):
    whole, cut = run("whole"), run("cut")
    whole()
    cut(trials=2)
    text = cut.journal.read_bytes()
    cut.journal.write_bytes(text + text.splitlines()[-1][:-20])
    os.symlink(cut.journal, f"{cut.journal}.lock")
    cut()
    assert cut.result == whole.result


def test_more_trials_continue_and_fewer_are_the_first(run, monkeypatch):
    whole, grown = run("whole", trials=6), run("grown")
    whole()
    grown(trials=2)
    grown(trials=6)
    assert grown.result == whole.result
    made = counting(monkeypatch, lambda: None, at=-1)
    grown(trials=3)
    assert grown.result == whole.result[:3] and made == [0]


def test_a_signal_between_two_trials_stops_the_search(run, monkeypatch):
    first = run()
    forget = stage._forget_weights
    monkeypatch.setattr(stage, "_forget_weights", lambda path: (forget(path), os.kill(os.getpid(), signal.SIGTERM)))
    with pytest.raises(Stopped, match="stopped after 1 of 4 trials; run again to continue"):
        first()


def test_a_signal_while_a_trial_ends_is_not_lost(run, monkeypatch):
    first, save = run(trials=2, training={"save_steps": None}), Loop.save
    monkeypatch.setattr(Loop, "save", lambda loop: (save(loop), os.kill(os.getpid(), signal.SIGTERM)))
    with pytest.raises(Stopped, match="stopped after 1 of 2 trials"):
        first()


def test_another_seed_sampler_fold_or_base_is_another_search(run):
    first = run(trials=1)
    first()
    for chosen in ({"seed": 1}, {"sampler": "random"}, {"pruner": "median"}):
        first(**chosen)
    assert len(list(first.folder.glob("search/*/journal.log"))) == 4


def test_the_tree_of_parzen_estimators_learns_and_chance_does_not(tmp_path):
    """On a bowl: after its first ten trials, the sampler comes closer than chance does."""
    found = {}
    for sampler in ("tpe", "random"):
        journal = Journal(
            tmp_path / sampler, {"x": {"low": -10.0, "high": 10.0, "log": False}}, CHOSEN | {"sampler": sampler}, 1
        )
        for _ in range(40):
            proposal = journal.proposal()
            score = (proposal.values["x"] - 3) ** 2
            journal.add(proposal, Outcome("complete", score, 1, 0.0, "", {}))
        found[sampler] = sorted(trial.outcome.score for trial in journal.trials[10:])[15]
    assert found["tpe"] < 0.5 * found["random"]


def test_a_proposal_is_a_function_of_what_is_finished(tmp_path):
    draw = LR | {"loss": ["mae", {"name": "huber", "delta": 0.1}], "n": {"low": 1, "high": 9, "log": True}}
    journal = Journal(tmp_path / "journal", draw, CHOSEN, 1)
    for number in range(12):
        proposal = journal.proposal()
        again = Journal(tmp_path / "journal", draw, CHOSEN, 1).proposal()
        assert (
            proposal.number == again.number == number and proposal.values == again.values == journal.proposal().values
        )
        assert isinstance(proposal.values["n"], int) and proposal.values["loss"] in draw["loss"]
        journal.add(proposal, Outcome("complete", 1.0 / (number + 1), 1, 0.0, "", {}))


# ---- trials that end otherwise


def test_a_trial_that_diverges_has_failed_and_the_search_goes_on(run):
    first = run(draw={"optimizer.lr": [1e14, 0.01]}, sampler="random", trials=6)
    line = first()
    states = {row["optimizer.lr"]: row["state"] for row in first.rows}
    assert states == {"100000000000000.0": "failed", "0.01": "complete"}
    failed = next(row for row in first.rows if row["state"] == "failed")
    assert failed["score"] == "" and "is not finite" in failed["reason"] and "failed; best score" in line


def test_a_trial_with_the_values_of_another_is_not_trained_again(run, monkeypatch):
    first = run(draw={"model.width": [1, 2]}, sampler="random", trials=8)
    made = counting(monkeypatch, lambda: None, at=-1)
    first()
    assert made == [2 * 6]
    twins = [row for row in first.rows if row["reason"]]
    assert len(twins) == 6 and all(row["reason"] in ("as trial 0", "as trial 1", "as trial 2") for row in twins)
    assert len({(row["model.width"], row["score"]) for row in first.rows}) == 2


def test_values_that_do_not_go_together_fail_by_themselves(run):
    first = run(draw={"model.depth": [1, 2], "crops": [{"size": 6}, {"size": 8}]}, sampler="random", trials=9)
    first()
    bad = [row for row in first.rows if (row["model.depth"], row["crops"]) == ("2", '{"size": 6}')]
    assert (
        bad
        and all(row["state"] == "failed" for row in bad)
        and "multiples of 4" in first.rows[int(bad[0]["number"])]["reason"]
    )


def test_a_deeper_network_gets_crops_with_its_halo(tmp_path):
    flat = fields(tmp_path / "flat", space=(16, 16), channels={"input": 2, "target": 2})
    first = Run(tmp_path / "run", flat, {"model.depth": [1, 2]}, {"crops": {"size": 4}}, trials=4, sampler="random")
    first()
    halos = {}
    for row in first.rows:
        assert row["state"] == "complete"
        if not row["reason"]:
            (path,) = first.folder.glob(f"search/*/trial-{row['number']}/crops.npz")
            halos[int(row["model.depth"])] = np.load(path)["halo"].tolist()
    assert halos == {depth: [[geometry_of("vnet", {"depth": depth}).halo] * 2] * 2 for depth in (1, 2)}


def test_too_little_memory_for_one_trial_does_not_end_the_search(run, monkeypatch):
    update = Loop._update

    def too_wide(loop, batch):
        if loop.task.settings["model"]["width"] == 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        update(loop, batch)

    monkeypatch.setattr(Loop, "_update", too_wide)
    first = run(draw={"model.width": [1, 2]}, sampler="random", trials=6)
    first()
    assert {row["model.width"]: row["state"] for row in first.rows} == {"1": "complete", "2": "failed"}
    assert any("out of memory" in row["reason"] for row in first.rows)


def test_a_search_without_a_complete_trial_is_an_error(run):
    with pytest.raises(RunError, match=r"none of 2 trials was completed; the first: step 1: loss is not finite"):
        run(draw={"optimizer.lr": [1e14]}, trials=2)()


def test_without_a_sample_to_validate_on_nothing_begins(run, tmp_path):
    few = fields(tmp_path / "few", count=3)
    with pytest.raises(ConfigError, match="ablations.s.search.fold: 0: no training sample is left for validation"):
        Run(tmp_path / "search", few, training={"validation": None})()


@pytest.mark.parametrize("damage", [b"garbage\n", b'{"op_code": 4}\n'])
def test_a_damaged_journal_is_named(run, damage):
    first = run(trials=2)
    first()
    first.journal.write_bytes(first.journal.read_bytes() + damage)
    with pytest.raises(RunError, match="journal.log: not a readable journal of a search .* delete it to search anew"):
        first()


def test_pruning_never_looks_ahead(tmp_path):
    """A trial that goes on at a checkpoint is judged as if it had never stopped: by the scores until now."""
    journal = Journal(tmp_path / "journal", LR, CHOSEN | {"pruner": "median"}, epochs=4)
    for _ in range(5):
        journal.add(journal.proposal(), Outcome("complete", 1.0, 4, 0.0, "", {1: 1.0, 2: 1.0, 3: 1.0}))
    bad = journal.proposal()
    assert bad.is_hopeless({1: 2.0})
    saved = journal.proposal()
    assert not saved.is_hopeless({1: 0.5}) and not saved.is_hopeless({1: 0.5, 2: 3.0})
    assert journal.proposal().is_hopeless({1: 2.0, 2: 1.5})
    late = Journal(tmp_path / "late", LR, CHOSEN | {"pruner": "median"}, epochs=12)
    for _ in range(5):
        late.add(late.proposal(), Outcome("complete", 1.0, 4, 0.0, "", {1: 1.0, 3: 1.0}))
    fresh = late.proposal()
    assert not fresh.is_hopeless({1: 2.0}) and fresh.is_hopeless({1: 2.0, 3: 2.0})  # not in the first quarter
