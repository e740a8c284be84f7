"""Quantiles: of any set of samples within what is promised, whatever their offset, order and layout."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_core.data.quantiles import FRACTIONS, Histogram, pooled
from m2m_core.errors import DataError
from m2m_core.statistics import moments, of_fold, quantiles, read_quantiles, write_moments, write_quantiles
from tests.data.making import catalogue, field
from tests.statistics.test_statistics import several

PARTS = (0.01, 0.16, 0.25, 0.5, 0.75, 0.84, 0.99)


def sketch(values, pivot=0.0):
    histogram = Histogram()
    for block in np.array_split(np.asarray(values, "f8"), 3):
        histogram.add(block, pivot)
    return histogram.sketch()


def promised(found, values, pivots, part):
    """Whether a quantile is right to what the module says: the part below it, or its distance from the pivot."""
    width = np.pi / 256 * np.sqrt(part * (1 - part)) + 1 / len(values)
    low, high = np.quantile(values, [max(part - width, 0), min(part + width, 1)])
    slack = 5e-4 * max(abs(found - pivot) for pivot in pivots) + 1e-6 * abs(found) + 1e-12
    return low - slack <= found <= high + slack


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 3000), st.sampled_from(["normal", "heavy", "zeros", "whole"]),
                          st.floats(-50, 50)), min_size=1, max_size=4), st.integers(0, 99))  # fmt: skip
def test_pooled_quantiles_are_those_of_all_values(samples, seed):
    rng = np.random.default_rng(seed)
    make = {
        "normal": rng.standard_normal, "heavy": lambda n: np.exp(3 * rng.standard_normal(n)),
        "zeros": lambda n: np.where(rng.random(n) < 0.5, 0.0, rng.standard_normal(n)),
        "whole": lambda n: rng.integers(0, 4, n).astype(float),
    }  # fmt: skip
    values = [make[kind](n) + shift for n, kind, shift in samples]
    pivots = [v.mean() if abs(v.mean()) > v.std() else 0.0 for v in values]
    sketches = [sketch(v, pivot) for v, pivot in zip(values, pivots, strict=True)]
    for part in PARTS:
        found = pooled(sketches, part)
        assert promised(found, np.concatenate(values), pivots, part)
        assert pooled(random.Random(seed).sample(sketches, len(sketches)), part) == found


@pytest.mark.parametrize("offset", [0.0, 1e3, -1e6, 1e9])
def test_smooth_quantiles_are_right_to_a_thousandth_of_the_spread_whatever_the_offset(tmp_path, offset):
    arrays = [field((2, 30, 30, 30), n, "f8") * (1 + n) + offset for n in range(3)]
    rows = quantiles(several(tmp_path, arrays))
    values = np.concatenate([array[1].ravel() for array in arrays])
    rounding = abs(offset) * np.finfo("f4").eps
    for part in PARTS[1:-1]:
        found = pooled([row.sketch for row in rows if row.channel == 1], part)
        assert abs(found - np.quantile(values, part)) < 3e-3 * values.std() + rounding


def test_equal_values_stay_equal():
    found = sketch(np.r_[np.full(800, 0.1), np.linspace(5, 6, 200)])
    assert pooled([found], 0.75) == pooled([found], 0.25) == pytest.approx(0.1, rel=1e-3)
    assert len(set(sketch(np.zeros(9)).knots)) == 1 and len(found.knots) == len(FRACTIONS)


def test_the_table_keeps_what_was_measured_and_a_damaged_one_is_named(tmp_path):
    rows = quantiles(catalogue(tmp_path), "expm1")
    path = tmp_path / "expm1.quantiles.csv"
    write_quantiles(path, rows)
    assert read_quantiles(path) == rows
    text = path.read_text()
    for damaged in ("", "a,b\n", text[:-12], text[:-12] + "\n", text.replace("input", "input,3")):
        path.write_text(damaged)
        with pytest.raises(DataError, match=r"expm1.quantiles.csv: .*table of quantiles"):
            read_quantiles(path)


def test_values_that_are_not_finite_or_outside_the_domain_are_left_out(tmp_path):
    array = np.linspace(1, 2, 1000)[None]
    array[0, :3] = np.nan, np.inf, -1.0
    (row,) = quantiles(several(tmp_path, [array]), "log")
    assert row.sketch.count == 997 and row.sketch.knots[-1] <= np.log(2) * 1.001
    array[:] = -1
    assert quantiles(several(tmp_path, [array]), "log")[0].sketch.count == 0


def normal(transform="identity", scaling="identity"):
    return {"transform": transform, "scaling": scaling}


def test_a_fold_is_pooled_part_by_part_from_its_training_samples_alone(tmp_path):
    found = catalogue(tmp_path, 6, (3, 8, 8), folds=3)
    tables = []
    for name, chain in {"identity": "identity", "exp-log1p": ["exp", "log1p"]}.items():
        tables += [tmp_path / f"{name}.csv", tmp_path / f"{name}.quantiles.csv"]
        write_moments(tables[-2], moments(found, chain))
        write_quantiles(tables[-1], quantiles(found, chain))
    robust = {"name": "robust", "low": 0.1, "high": 0.9}
    normalize = {"input": normal(["exp", "log1p"], robust), "target": normal()}
    for fold in range(3):
        training = found.training(fold)
        statistics = of_fold(normalize, tables, training)
        values = np.stack([np.load(sample.parts("input")[0].file) for sample in training])
        for part in (0.1, 0.5, 0.9):
            expected = np.quantile(np.log1p(np.exp(values.astype("f8"))), part, axis=(0, 2, 3))
            assert np.allclose(statistics["input"]["quantiles"][repr(part)], expected, atol=0.05)
        assert "quantiles" not in statistics["target"] and len(statistics["target"]["mean"]) == 3


def test_the_statistics_of_parts_stand_in_the_order_of_channels(tmp_path):
    from tests.tasks.studies import fields

    found = fields(tmp_path, channels={"input": {"rho": 1, "psi": 2}, "target": 1})
    assert [part.shape[0] for part in found.samples[0].parts("input")] == [2, 1]  # psi before rho, as in the config
    write_moments(tmp_path / "identity.csv", moments(found))
    write_moments(tmp_path / "exp.csv", moments(found, "exp"))
    write_quantiles(tmp_path / "exp.quantiles.csv", quantiles(found, "exp"))
    files = sorted(tmp_path.glob("*.csv"))
    normalize = {"input": {"psi": normal(), "rho": normal("exp", "robust")}, "target": normal()}
    statistics = of_fold(normalize, files, found.training(0))["input"]
    assert np.allclose(statistics["mean"], [0, 0, np.exp(0.5)], atol=0.2) and len(statistics["std"]) == 3
    assert np.allclose(statistics["quantiles"]["0.5"][2], 1, atol=0.1)
    assert statistics["quantiles"]["0.25"][:2] == [None, None]
    with pytest.raises(DataError, match=r"normalize.input: 1 parts \(psi\); the catalogue has 2"):
        of_fold({"input": {"psi": normal()}}, files, found.training(0))
