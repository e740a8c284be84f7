"""What every metric must do, and each metric where its answer is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_core import registry
from m2m_core.errors import DataError
from m2m_core.metrics.comparison import Comparison

METRICS = sorted(registry.entries("metric"))
BOXES = [((12, 12, 12), (60.0,) * 3), ((9, 12, 16), (45.0, 60.0, 80.0)), ((16, 16), (32.0, 32.0)), ((2, 3), (1.0, 1.0))]


def noise(shape: tuple[int, ...], seed: int = 0, dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def judge(name: str, comparison: Comparison, **options) -> dict[str, dict]:
    """metric -> {x: value}"""
    table: dict[str, dict] = {}
    for metric, x, value in registry.load("metric", name)(comparison, **options):
        assert x not in table.setdefault(metric, {})
        table[metric][x] = value
    return table


def values(name: str, metric: str, comparison: Comparison, **options) -> np.ndarray:
    found = np.array(list(judge(name, comparison, **options)[metric].values()), float)
    assert len(found)
    return found


def field(prediction: np.ndarray, truth: np.ndarray, periodic: bool = True, name: str = "field") -> Comparison:
    edges = truth.shape[1:]
    return Comparison(prediction, truth, tuple(2.0 * n for n in edges), name, (periodic,) * len(edges))


def fields(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Ordinary, zero, constant, and extreme fields."""
    return [noise(shape), np.zeros(shape, np.float32), np.full(shape, 0.1, np.float32), 1e30 * noise(shape, 1)]


# ---- the contract


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shape, box_size", BOXES)
@pytest.mark.parametrize("name", METRICS)
def test_every_value_is_finite_and_the_arrays_are_left_alone(name, shape, box_size, periodic):
    pool = fields((len(shape), *shape))
    for prediction in pool:
        for truth in pool:
            before = prediction.copy(), truth.copy()
            with np.errstate(all="raise", under="ignore"):
                table = judge(name, Comparison(prediction, truth, box_size, "field", (periodic,) * len(box_size)))
            for x, value in ((x, value) for rows in table.values() for x, value in rows.items()):
                assert np.isfinite(float(value)) and (x is None or np.isfinite(float(x)))
            assert (prediction == before[0]).all() and (truth == before[1]).all()


@pytest.mark.parametrize("shape, box_size", BOXES)
@pytest.mark.parametrize("name", METRICS)
def test_every_metric_judges_densities(name, shape, box_size):
    moved, still = noise((len(shape), *shape)), np.zeros((len(shape), *shape), np.float32)
    for pair in ((moved, still), (still, moved), (still, still), (moved, moved)):
        for rows in judge(name, Comparison.of_displacement(*pair, box_size)).values():
            assert np.isfinite([float(value) for value in rows.values()]).all()


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_the_same_twice(name):
    comparison = field(noise((3, 8, 8, 8)), noise((3, 8, 8, 8), 1))
    assert judge(name, comparison) == judge(name, comparison)
    assert judge(name, comparison)


@pytest.mark.parametrize("name", METRICS)
def test_every_option_is_described(name):
    entry = registry.find("metric", name)
    assert set(entry.texts) == set(entry.options)
    assert all(default is not ... for _, default in entry.options.values())


# ---- spectra


@pytest.mark.parametrize("shape", [(1, 12, 12, 12), (3, 9, 10, 12), (2, 16, 14)])
@pytest.mark.parametrize("periodic", [True, False])
def test_identity(shape, periodic):
    truth = noise(shape)
    same = field(truth.copy(), truth, periodic)
    assert (values("power_spectrum", "transfer", same) == 1).all()
    assert values("cross_correlation", "cross_correlation", same) == pytest.approx(1, abs=1e-12)
    assert np.abs(values("cross_correlation", "stochasticity", same)).max() < 1e-12
    assert np.abs(values("cross_correlation", "error_power", same)).max() < 1e-12
    assert [v for rows in judge("mean_square_error", same).values() for v in rows.values()] == [0, 0, 0]
    assert judge("one_point", same)["wasserstein"] == {None: 0}


def test_sign_flip_is_anticorrelated():
    truth = noise((3, 12, 12, 12))
    flipped = field(-truth, truth)
    assert (values("power_spectrum", "transfer", flipped) == 1).all()
    assert values("cross_correlation", "cross_correlation", flipped) == pytest.approx(-1, abs=1e-12)
    assert values("cross_correlation", "error_power", flipped) == pytest.approx(4)
    assert values("mean_square_error", "vrmse", flipped) == pytest.approx(2, rel=0.05)


@settings(max_examples=20)
@given(factor=st.floats(0.01, 100), offset=st.floats(-10, 10))
def test_scaling_is_the_transfer_function(factor, offset):
    truth = noise((1, 10, 12, 14), dtype=np.float64)
    scaled = field(factor * truth + offset, truth)
    assert values("power_spectrum", "transfer", scaled) == pytest.approx(factor, rel=1e-6)
    assert values("cross_correlation", "cross_correlation", scaled) == pytest.approx(1, rel=1e-9)
    assert values("cross_correlation", "error_power", scaled) == pytest.approx((factor - 1) ** 2, rel=1e-6, abs=1e-9)


def test_error_power_is_the_power_of_the_difference():
    truth, error = noise((1, 16, 16, 16), 0, np.float64), noise((1, 16, 16, 16), 1, np.float64)
    both = field(truth + 0.3 * error, truth)
    difference = values("power_spectrum", "power", field(0.3 * error, truth))
    expected = difference / values("power_spectrum", "power_truth", both)
    assert values("cross_correlation", "error_power", both) == pytest.approx(expected, rel=1e-9)
    stochasticity = values("cross_correlation", "stochasticity", both)
    assert stochasticity[3:] == pytest.approx(0.09 / 1.09, rel=0.3)


def test_rows_of_the_power_spectrum():
    table = judge("power_spectrum", field(noise((1, 8, 8, 8)), noise((1, 8, 8, 8), 1)))
    assert set(table) == {"power", "power_truth", "transfer", "modes"}
    assert list(table["modes"].values()) == [6 + 12 + 8, 6 + 24 + 24 + 12, 30 + 24 + 24 + 8 + 24 + 48]
    assert all(list(rows) == list(table["modes"]) for rows in table.values())


def test_what_is_undefined_is_skipped():
    truth = noise((1, 8, 8, 8))
    without_truth, without_prediction = field(truth, 0 * truth), field(0 * truth, truth)
    assert "transfer" not in judge("power_spectrum", without_truth)
    assert judge("cross_correlation", without_truth) == {}
    assert (values("power_spectrum", "transfer", without_prediction) == 0).all()
    assert set(judge("cross_correlation", without_prediction)) == {"error_power"}
    assert (values("cross_correlation", "error_power", without_prediction) == 1).all()
    assert "vrmse" not in judge("mean_square_error", without_truth)


def test_helmholtz_tells_flow_from_rotation():
    x = 2 * np.pi * np.arange(16) / 16 * np.ones((16, 1))
    flow, shear = np.stack([np.sin(2 * x).T, 0 * x]), np.stack([np.sin(2 * x), 0 * x])
    table = judge("helmholtz", field(flow + 0.5 * shear, 2 * flow))
    shell = 1
    read = {metric: list(rows.values())[shell] for metric, rows in table.items()}
    assert read["transfer_divergence"] == pytest.approx(0.5)
    assert read["cross_correlation_divergence"] == pytest.approx(1)
    assert read["curl_fraction"] == pytest.approx(0.25)
    assert read["curl_fraction_truth"] == pytest.approx(0, abs=1e-12)
    assert judge("helmholtz", field(flow[:1], flow[:1])) == {}


# ---- cell by cell


def test_mean_square_error_of_known_numbers():
    truth = np.array([[[0.0, 2.0], [0.0, 2.0]], [[10.0, 10.0], [14.0, 14.0]]])
    table = judge("mean_square_error", Comparison(truth + [[[1.0]], [[3.0]]], truth, (1.0, 1.0), "field"))
    assert table["mse"][None] == pytest.approx(5.0)
    assert table["rmse"][None] == pytest.approx(5.0**0.5)
    assert table["vrmse"][None] == pytest.approx((5.0 / 2.5) ** 0.5)  # variances 1 and 4


def test_mean_prediction_has_vrmse_one():
    truth = noise((2, 16, 16)) + 7
    mean = np.broadcast_to(truth.mean((1, 2), keepdims=True), truth.shape)
    assert values("mean_square_error", "vrmse", field(mean, truth)) == pytest.approx(1, rel=1e-6)


# ---- one point


@settings(max_examples=25)
@given(bins=st.integers(1, 200), scale=st.floats(1e-6, 1e6), offset=st.floats(-1e3, 1e3))
def test_pdf_integrates_to_one(bins, scale, offset):
    truth = noise((3, 6, 6, 6), dtype=np.float64) * scale
    table = judge("one_point", field(truth + offset, truth), bins=bins)
    if "pdf" in table:
        centres = np.array(list(table["pdf"]))
        width = (max((truth + offset).max(), truth.max()) - min((truth + offset).min(), truth.min())) / bins
        assert len(centres) == bins and list(table["pdf_truth"]) == list(table["pdf"])
        assert sum(table["pdf"].values()) * width == pytest.approx(1, rel=1e-6)
        assert sum(table["pdf_truth"].values()) * width == pytest.approx(1, rel=1e-6)
    assert table["wasserstein"][None] == pytest.approx(abs(offset), abs=1e-6 * max(scale, 1))


def test_pdf_of_known_values():
    truth = np.array([[[0.0, 0.0, 0.0, 4.0]] * 2])
    table = judge("one_point", Comparison(0 * truth, truth, (1.0, 1.0), "field"), bins=2)
    assert table["pdf"] == {1.0: 0.5, 3.0: 0.0}
    assert table["pdf_truth"] == {1.0: 0.375, 3.0: 0.125}
    assert table["wasserstein"] == {None: 1.0}


def test_equal_values_have_a_distance_but_no_pdf():
    constant = np.full((1, 4, 4), 3.0, np.float32)
    table = judge("one_point", field(constant, constant))
    assert table == {"wasserstein": {None: 0}}
    nearly = np.nextafter(constant, 4, dtype=np.float32)
    assert "pdf" not in judge("one_point", field(np.where(np.arange(4) < 2, nearly, constant), constant))


def test_empty_cells_are_counted_and_left_out():
    truth = np.array([[[-1.0, 0.0], [0.0, 9.0]]])
    prediction = np.array([[[-1.0, -1.0], [-1.5, 9.0]]])
    table = judge("one_point", Comparison(prediction, truth, (1.0, 1.0), "density"), bins=1)
    assert table["empty"] == {None: 0.75} and table["empty_truth"] == {None: 0.25}
    assert table["pdf"] == {0.5: 0.25} and table["pdf_truth"] == {0.5: 0.75}
    assert table["wasserstein"][None] == pytest.approx(2 / 3)  # log10: {1} against {0, 0, 1}


def test_a_density_without_mass_has_no_distance():
    truth = np.zeros((1, 4, 4))
    table = judge("one_point", Comparison(truth - 1, truth, (1.0, 1.0), "density"))
    assert table == {"empty": {None: 1.0}, "empty_truth": {None: 0.0}}


@pytest.mark.parametrize("kind", ["top_hat", "gaussian"])
@pytest.mark.parametrize("periodic", [True, False])
def test_smoothing_narrows_the_distribution(kind, periodic):
    truth = noise((1, 24, 24, 24))
    options = {"bins": 40, "smoothing": 6.0, "filter": kind}
    wide = judge("one_point", field(truth, truth, periodic), bins=40)
    narrow = judge("one_point", field(truth, truth, periodic), **options)
    assert max(narrow["pdf"]) < 0.5 * max(wide["pdf"])


def test_smoothing_wider_than_an_open_box_leaves_nothing():
    truth = noise((1, 8, 8))
    assert judge("one_point", field(truth, truth, periodic=False), smoothing=100.0) == {}


# ---- the comparison itself


def test_spectra_are_computed_once():
    comparison = field(noise((1, 8, 8)), noise((1, 8, 8), 1))
    assert comparison.spectra is comparison.spectra


def test_density_spectra_are_interlaced_but_cells_are_plain():
    displacement = 3 * noise((3, 16, 16, 16))
    box_size = (32.0,) * 3
    painted = Comparison.of_displacement(displacement, displacement, box_size)
    plain = Comparison(painted.prediction, painted.truth, box_size, "density")
    assert painted.prediction.shape == (1, 16, 16, 16)
    assert painted.prediction.mean() == pytest.approx(0, abs=1e-6) and painted.prediction.min() >= -1
    assert painted.spectra.power_a[-1] > 1.5 * plain.spectra.power_a[-1]  # the window is divided out


def test_boxes_are_tapered_along_the_axes_on_which_they_do_not_repeat():
    ramp = np.indices((32, 32))[0][None] + 0.1 * noise((1, 32, 32))
    power = {
        around: Comparison(ramp, ramp, (64.0, 64.0), "field", around).spectra.power_a[6]
        for around in ((True, True), (False, False), (False, True), (True, False))
    }
    assert max(power[False, False], power[False, True]) < 0.1 * min(power[True, True], power[True, False])


def test_smoothing_cuts_a_margin_off_the_open_faces_alone():
    flat = np.zeros((1, 16, 16), np.float32)
    spike = flat.copy()
    spike[0, :, 0] = 256.0  # on an open face of the second axis: all that it reaches is cut off
    pair, around_one = (spike, flat, (16.0, 16.0), "field"), {"smoothing": 1.0, "filter": "gaussian"}
    assert judge("one_point", Comparison(*pair, (True, False)), **around_one)["wasserstein"][None] < 1.0
    assert judge("one_point", Comparison(*pair, (False, True)), **around_one)["wasserstein"][None] > 10.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_broken_predictions_are_refused(value):
    truth = noise((2, 8, 8))
    broken = truth.copy()
    broken[1, 2, 3] = value
    with pytest.raises(DataError, match="prediction: 1 of 128 values"):
        field(broken, truth)
    with pytest.raises(DataError, match="density: prediction: 1 of 128 values"):
        Comparison.of_displacement(broken, truth, (1.0, 1.0))


def test_shapes_must_agree():
    with pytest.raises(DataError, match="expected one shape"):
        field(noise((2, 8, 8)), noise((1, 8, 8)))
    with pytest.raises(DataError, match="expected one shape"):
        Comparison(noise((8, 8)), noise((8, 8)), (1.0, 1.0), "field")
