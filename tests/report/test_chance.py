"""Margins over chance and over the baselines, with errors: known answers."""

import math

import answered
import numpy as np
import pandas as pd
import pytest

from m2m_core.report import chance
from m2m_core.report.context import Context
from m2m_core.report.judged import leading
from m2m_core.report.sections.labels import answers


def judged(tmp_path, quality, **shape):
    return answered.tree(tmp_path, quality=quality, slices=1, **shape)


def told(results, accuracies):
    """The same results, but that each fold has answered such a part of its samples right."""
    rows = results.evaluation.copy()
    truth = rows[rows["metric"] == "label"].groupby("sample", observed=True)["value"].first()
    answers = rows[rows["metric"] == "answer"]
    for (fold, _), part in answers.groupby(["fold", "source"], observed=True):
        right = np.arange(len(part)) < round(accuracies[fold] * len(part))
        known = truth[part["sample"]].to_numpy()
        rows.loc[part.index, "value"] = np.where(right, known, 1 - known)
    results.__dict__["evaluation"] = rows
    return results


def test_the_error_is_that_of_the_mean_over_the_folds(tmp_path):
    results = told(judged(tmp_path, 1.0, samples=240), [0.9, 0.5, 0.7])
    found = chance.over_chance(results, "gr", "emulator")
    assert found.value == pytest.approx(0.2) and found.error == pytest.approx(0.2 / math.sqrt(3))
    assert not found.is_known and not chance.over_baselines(results, "gr").is_known


@pytest.mark.parametrize("share, known", [(1.0, True), (0.5, False), (0.0, True)])
def test_folds_that_agree_do_not_make_a_few_seeds_certain(tmp_path, share, known):
    """Twenty four samples, each a group of its own: Laplace's share of them, and its binomial error."""
    found = chance.over_chance(told(judged(tmp_path, 1.0), [share] * 3), "gr", "emulator")
    p = (24 * share + 1) / 26
    assert found.value == pytest.approx(share - 0.5) and found.error == pytest.approx(math.sqrt(p * (1 - p) / 24))
    assert found.is_known == known


def test_chance_is_the_commonest_class_and_of_parameters_nothing_explained(tmp_path):
    classes = judged(tmp_path / "c", 3.0, classes=4, names=("kind",), samples=48)
    shares = pd.Series([s.parameters["kind"] for s in classes.catalogue.samples]).value_counts(normalize=True)
    accuracy = leading(classes, "kind").mean()
    assert chance.over_chance(classes, "kind", "emulator").value == pytest.approx(accuracy - shares.max())
    parameters = judged(tmp_path / "p", 3.0, classes=None, names=("omega_m",))
    found, r2 = chance.over_chance(parameters, "omega_m", "emulator"), leading(parameters, "omega_m")
    assert found == pytest.approx((r2.mean(), r2.std() / math.sqrt(3)))
    assert chance.over_chance(judged(tmp_path / "n", 1.0, missing=(0, 1, 2)), "gr", "emulator") is None


@pytest.mark.parametrize("accuracies, words", [
    ([1.0, 1.0, 1.0], "0.50 ± 0.04 above chance"),
    ([0.5, 0.625, 0.5], "not told from chance (0.04 ± 0.10 above it)"),
])  # fmt: skip
def test_the_report_says_whether_a_network_is_better_than_chance(tmp_path, accuracies, words):
    lead, table, *_ = answers(Context([told(judged(tmp_path, 1.0), accuracies)], {}, {}, {})).blocks
    assert words in lead.text and "0.00 ± " in table.rows[0][-1]
