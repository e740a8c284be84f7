"""Numbers with known answers: means and spreads over folds, wins, the bins in which a baseline is better."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import synthetic

from m2m_core.report import labels, scores
from m2m_core.report.context import Context
from m2m_core.report.results import ExperimentResults
from m2m_core.report.sections.bins import verdict
from m2m_core.report.sections.samples import samples
from m2m_core.report.variants import differing, flat

K = [0.1, 0.2, 0.4]  # [h/Mpc]; the mesh of 16 in 100 Mpc/h has its Nyquist frequency at 0.503
BEYOND = 0.6


def judged(results: ExperimentResults, root: Path, rows: dict[int, list[tuple]]) -> ExperimentResults:
    """The same experiment with other evaluations: rows of source, metric, x, value by fold, sample `box-00` up."""
    folds = {}
    for k, found in rows.items():
        folds[k] = root / str(k)
        folds[k].mkdir()
        names = [sample.id for sample in results.catalogue.held_out(k)]
        table = [(names[n], source, "density", metric, x, value) for n, source, metric, x, value in found]
        synthetic.evaluation(folds[k] / "evaluation.csv", table)
    return dataclasses.replace(results, folds=folds)


def transfer(n: int, source: str, *values: float) -> list[tuple]:
    return [(n, source, "transfer", x, v) for x, v in zip([*K, BEYOND], values, strict=False)]


def test_score_is_the_mean_over_folds_of_the_means_of_their_samples(results: ExperimentResults, tmp_path: Path) -> None:
    rows = {
        0: [(0, "emulator", "rmse", "", 1.0), (1, "emulator", "rmse", "", 3.0)],
        1: [(0, "emulator", "rmse", "", 5.0)],
    }
    score = scores.score(judged(results, tmp_path, rows), "density", "rmse", "emulator")
    assert (score.mean, score.folds) == (3.5, (0, 1))
    assert score.spread == pytest.approx(math.sqrt(4.5))


def test_distance_of_the_transfer_function_ends_at_the_nyquist(results: ExperimentResults, tmp_path: Path) -> None:
    found = judged(results, tmp_path, {0: transfer(0, "emulator", 0.9, 1.2, 1.3, 9.0)})
    assert scores.errors(found, "density", "transfer_error", "emulator").tolist() == pytest.approx([0.2])


def test_bins_that_a_baseline_wins_are_listed_exactly(results: ExperimentResults, tmp_path: Path) -> None:
    # samples on both sides of 1 do not cancel: |T - 1| is averaged, not T
    rows = transfer(0, "emulator", 0.9, 1.1, 1.0, 1.0) + transfer(1, "emulator", 1.1, 1.1, 1.0, 1.0)
    rows += transfer(0, "input", 1.05, 1.2, 1.5, 1.0) + transfer(1, "input", 1.05, 1.2, 1.5, 1.0)
    rows += transfer(0, "2lpt", 2.0, 1.1, 1.01, 1.0) + transfer(1, "2lpt", 2.0, 1.1, 1.01, 1.0)
    found = judged(results, tmp_path, {0: rows})
    part = scores.bins(found, "density", "transfer")
    assert part.k.tolist() == K
    assert part.lost.tolist() == [True, True, False]  # lost, tied, won
    np.testing.assert_allclose(part.errors["emulator"], [0.1, 0.1, 0.0], atol=1e-12)
    (sentence,) = verdict(found, "density", {"transfer": part})
    assert "in 1 of 3 k-bins" in sentence and "not at k = 0.100, 0.200\u00a0h/Mpc" in sentence


def test_a_bin_that_the_emulator_lacks_is_lost(results: ExperimentResults, tmp_path: Path) -> None:
    rows = transfer(0, "emulator", 1.0, float("nan"), 1.0) + transfer(0, "input", 1.1, 1.1, 1.1)
    assert scores.bins(judged(results, tmp_path, {0: rows}), "density", "transfer").lost.tolist() == [
        False,
        True,
        False,
    ]


def test_a_win_is_strict_and_against_every_baseline(results: ExperimentResults, tmp_path: Path) -> None:
    values = {"emulator": (1.0, 1.0), "input": (2.0, 2.0), "2lpt": (1.5, 1.0)}
    rows = [(n, source, "rmse", "", pair[n]) for source, pair in values.items() for n in (0, 1)]
    assert scores.wins(judged(results, tmp_path, {0: rows}), "density", "rmse") == (1, 2)


def test_higher_is_better_where_it_is(results: ExperimentResults, tmp_path: Path) -> None:
    values = {"emulator": (30.0, 20.0), "input": (25.0, 25.0)}
    rows = [(n, source, "psnr", "", pair[n]) for source, pair in values.items() for n in (0, 1)]
    found = judged(results, tmp_path, {0: rows})
    assert scores.leading(found, "density") == "psnr"
    assert scores.wins(found, "density", "psnr") == (1, 2)


def test_sample_names_that_look_like_nothing_are_names(tmp_path: Path) -> None:
    found = synthetic.tree(tmp_path, mesh=8, folds=2, names=["NA", "null", "007", "1e5"])
    assert set(found.evaluation["sample"]) == {"NA", "null", "007", "1e5"}


def test_the_worst_samples_are_kept_and_in_natural_order(results: ExperimentResults, tmp_path: Path) -> None:
    names = [sample.id for sample in results.catalogue.held_out(0)]
    rows = [(0, "emulator", "rmse", "", 2.0), (1, "emulator", "rmse", "", 3.0)]
    found = judged(results, tmp_path, {0: rows})
    section = samples(Context([found], {}, {}, {}), rows=1)
    table = section.blocks[0].blocks[-1]
    assert [row[0].text for row in table.rows] == [names[1]]


def test_differing_keys_are_found_at_any_depth() -> None:
    configs = [{"a": {"b": 1, "c": [1]}, "d": 0}, {"a": {"b": 2, "c": [1]}, "d": 0, "e": None}]
    assert differing([flat(config) for config in configs]) == ["a.b"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.18049, "0.180"), (1.0, "1.00"), (12345.0, "12\u202f345"), (123.4, "123"), (0.000123, "0.000123"),
        (9.1e-7, "9.10 × 10⁻⁷"), (-0.5, "−0.500"), (0.0, "0"), (math.nan, "–"), (math.inf, "∞"), (2.5e8, "2.50 × 10⁸"),
        (0.9999, "1.000"), (1000.0, "1000"),
    ],
)  # fmt: skip
def test_numbers_have_the_digits_they_deserve(value: float, text: str) -> None:
    assert labels.number(value) == text


def test_measures_of_a_column_share_their_decimals() -> None:
    means, spreads = [0.3123, 12.04], [0.004, 0.12]
    places = labels.places(means, spreads)
    texts = [labels.measure(m, s, places) for m, s in zip(means, spreads, strict=True)]
    assert texts == ["0.312 ± 0.004", "12.040 ± 0.120"]
    assert labels.measure(0.5, 0.0004, 2) == "0.50 ± <0.01"
    assert labels.measure(0.5, float("nan"), 2) == "0.50"
    assert labels.measure(8.48e-10, 3.86e-10, 5) == "(8.5 ± 3.9) × 10⁻¹⁰"
    assert labels.measure(-7.9e13, 1e11, 5) == "(−7.9 ± <0.1) × 10¹³"
    assert labels.measure(-4.2e-6, 0.1, 3) == "0.000 ± 0.100"


def test_lists_read_as_sentences() -> None:
    assert labels.folds([2]) == "fold 2" and labels.folds([0, 2, 3]) == "folds 0, 2 and 3"
