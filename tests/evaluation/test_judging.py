"""What answers are worth, against known answers."""

import numpy as np
import pytest

from m2m_core.errors import DataError
from m2m_core.metrics import judging
from m2m_core.metrics.answers import Answers
from m2m_core.metrics.linear import logistic, ridge
from m2m_core.metrics.perceptron import classifier, regressor
from m2m_core.metrics.power_spectrum_baseline import PowerSpectrumBaseline, PowerSpectrumMLP


def test_the_area_is_the_chance_that_a_positive_is_above_a_negative():
    rng = np.random.default_rng(1)
    score, positive = rng.integers(-3, 4, 60) / 2, rng.random(60) < 0.4
    first, second = score[positive][:, None], score[~positive][None]
    expected = np.mean((first > second) + 0.5 * (first == second))
    curve = judging.roc(score, positive)
    assert curve.area == pytest.approx(expected)
    assert curve.false[0] == curve.true[0] == 0 and curve.false[-1] == curve.true[-1] == 1


def test_weights_count_as_copies_do():
    score, positive, weights = np.array([-1.0, 0.2, 0.5]), np.array([False, True, False]), np.array([3, 2, 4])
    copies = np.repeat(score, weights), np.repeat(positive, weights)
    assert judging.roc(score, positive, weights).area == pytest.approx(judging.roc(*copies).area)
    assert judging.brier(score, positive, weights) == pytest.approx(judging.brier(*copies))
    assert judging.reliability(score, positive, weights).error == pytest.approx(judging.reliability(*copies).error)
    assert judging.roc(score, np.zeros(3, bool)) is None


def test_scores_of_a_known_confusion():
    table = judging.confusion([1, 1, 1, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0, 0], 2)
    assert table.tolist() == [[3, 1], [1, 2]]
    found = judging.scores(table)
    assert found["accuracy"] == pytest.approx(5 / 7)
    assert found["precision"] == found["recall"] == found["f1"] == pytest.approx(2 / 3)
    third = np.pad(table, (0, 1))  # a class that nobody is and nobody was called counts for nothing
    means = [np.mean(pair) for pair in ((3 / 4, 2 / 3), (3 / 4, 2 / 3), (3 / 4, 2 / 3))]
    assert [judging.scores(third)[name] for name in ("precision", "recall", "f1")] == pytest.approx(means)
    assert judging.scores(np.array([[4.0, 0], [2, 0]])) == {"accuracy": 4 / 6, "precision": 0, "recall": 0, "f1": 0}


def test_what_is_calibrated_has_no_calibration_error():
    rng = np.random.default_rng(1)
    score = rng.normal(0, 2, 200_000)
    positive = rng.random(score.size) < judging.probability(score)
    assert judging.reliability(score, positive).error < 0.01
    assert judging.reliability(3 * score, positive).error > 0.1


def test_parameters_that_are_drawn_from_what_is_told_are_covered():
    rng = np.random.default_rng(1)
    mean, spread = rng.normal(size=100_000), rng.uniform(0.1, 0.5, 100_000)
    found = judging.recovery(mean + spread * rng.normal(size=mean.size), mean, spread**2)
    assert found["chi2"] == pytest.approx(1, abs=0.02)
    assert found["coverage_1"] == pytest.approx(0.6827, abs=0.01) and found["coverage_2"] == pytest.approx(
        0.9545, abs=0.01
    )
    assert found["r2"] == pytest.approx(1 - np.mean(spread**2) / (1 + np.mean(spread**2)), abs=0.01)


# ---- from outputs to rows


def rows(answers, outputs, truth):
    return {
        (metric, x): value for _, metric, x, value in answers.rows(answers.told(np.array(outputs)), np.array(truth))
    }


def test_a_sample_is_judged_by_the_mean_logit_of_its_slices():
    found = rows(Answers(["gr"], 2), [[2.0], [-1.0], [-0.5]], [1.0])
    assert found["label", None] == 1 and found["answer", None] == 1
    assert found["score", 1] == pytest.approx(0.5 / 3)
    assert found["slice_answers", 0] == 2 and found["slice_answers", 1] == 1
    assert {x: v for (metric, x), v in found.items() if metric == "slices_1"} == {-0.95: 1, -0.45: 1, 2.05: 1}


def test_the_threshold_lies_between_two_bins():
    found = rows(Answers(["gr"], 2), [[1e-9], [-1e-9], [50.0]], [0.0])
    assert {x for metric, x in found if metric == "slices_1"} == {0.05, -0.05, 20.05}


@pytest.mark.parametrize("scale", [1e-3, 0.03, 2.0])
def test_bins_of_slices_keep_the_area_whatever_the_scale_of_the_logits(scale):
    """A network that is not sure may rank well; a few bins for all of its slices would be worth chance."""
    rng = np.random.default_rng(1)
    each = {truth: scale * (0.2 + truth + rng.normal(size=(300, 1))) for truth in (0, 1)}
    told = [(*key, truth, n) for truth in each for key, n in rows(Answers(["gr"], 2), each[truth], [truth]).items()]
    found = [row for name, *row in told if name == "slices_1"]
    score, positive, count = (np.array(column) for column in zip(*found, strict=True))
    exact = judging.roc(np.concatenate([each[0], each[1]])[:, 0], np.repeat([0, 1], 300) == 1).area
    assert judging.roc(score, positive == 1, count).area == pytest.approx(exact, abs=2e-3)
    assert len(found) < 250


def test_scores_of_classes_are_logits_of_their_probabilities():
    found = rows(Answers(["kind"], 3), [[1.0, 2.0, 0.5]], [2.0])
    chance = np.exp([1.0, 2.0, 0.5]) / np.exp([1.0, 2.0, 0.5]).sum()
    assert [judging.probability(found["score", c]) for c in range(3)] == pytest.approx(chance.tolist())
    assert found["answer", None] == 1 and found["label", None] == 2
    assert not [metric for metric, _ in found if metric.startswith("slice")]


def test_parameters_are_told_in_their_own_units():
    truths = np.array([[0.1, 600.0], [0.5, 800.0]])
    answers = Answers.learnt_from(["omega_m", "h"], "regression", None, truths)
    assert answers.target(truths[0]).tolist() == [-1, -1] and answers.outputs == 4
    told = answers.told(np.array([[-1.0, -1.0, 0.0, np.log(0.25)]]))
    assert told[0].tolist() == pytest.approx([0.1, 600.0, 0.2**2, 50.0**2])
    found = list(answers.rows(np.repeat(told, 4, axis=0), truths[0]))
    assert {(field, metric) for field, metric, _, _ in found} >= {("omega_m", "mean"), ("h", "slice_within_2")}
    assert [v for f, m, _, v in found if (f, m) == ("h", "variance")] == [pytest.approx(2500.0)]


@pytest.mark.parametrize(("classes", "value"), [(2, 0.1), (2, 2.0), (3, -1.0), (3, 1.5)])
def test_labels_that_are_no_classes_are_refused_and_never_rounded(classes, value):
    with pytest.raises(DataError, match=f"sample 's': label gr is {value:g}; expected"):
        Answers(["gr"], classes).truth("s", [value])


@pytest.mark.parametrize(("values", "words"), [
    ([0.1, 0.1, 0.1], "'h' is the same in all training samples"),  # whose standard deviation is 1.4e-17
    ([0.0, 1e20, 2e20], "'h' varies by 8.16e.19, and its variance is no float32; expected other units"),
    ([1e-16, 0.0, 0.0], "'h' varies by"),
])  # fmt: skip
def test_parameters_that_cannot_be_told_are_refused(values, words):
    with pytest.raises(DataError, match=words):
        Answers.learnt_from(["omega_m", "h"], "regression", None, np.stack([[0.1, 0.2, 0.3], values], 1))


@pytest.mark.parametrize(("training", "everything", "words"), [
    ([1, 1], [1, 1, 0], "gr is 1 in all training samples; expected two classes at least"),
    ([0, 1], [0, 1, 1], "gr is 2 in no sample; expected each of 3 classes in some"),
])  # fmt: skip
def test_classes_that_no_sample_shows_are_refused(training, everything, words):
    with pytest.raises(DataError, match=words):
        Answers(["gr"], 3).check(*(np.array(truths)[:, None] for truths in (training, everything)))


# ---- the baseline


def test_logistic_regression_finds_the_log_odds_of_two_normal_distributions():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 2, 40_000)
    x = np.stack([rng.normal(truth, 1.0), rng.normal(size=truth.size)], 1)
    z = logistic(x, truth, 2, 1e-6)(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    assert (z[:, 1] - z[:, 0]).tolist() == pytest.approx([-0.5, 0.5, -0.5], abs=0.05)


def test_ridge_regression_finds_a_line_and_what_is_left():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(4000, 3))
    model = ridge(x, (2 * x[:, :1] - x[:, 2:] + 5 + 0.3 * rng.normal(size=(4000, 1))), 1e-9)
    assert model(np.array([[1.0, 9.0, 2.0]]))[0, 0] == pytest.approx(5.0, abs=0.15)
    assert model.variance[0] == pytest.approx(0.09, rel=0.1)


def test_what_is_left_of_few_examples_is_that_of_each_left_out():
    """Fewer than there are numbers of each: a line through all of them leaves nothing, and knows nothing."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(8, 12)), rng.normal(size=(8, 1))
    scaled, apart = (x - x.mean(0)) / x.std(0), []
    for n in range(8):
        rest = np.delete(np.hstack([scaled, np.ones((8, 1))]), n, axis=0)
        square = rest.T @ rest + 1e-4 * 8 * np.diag([1] * 12 + [0])
        weights = np.linalg.solve(square, rest.T @ np.delete(y, n, axis=0))
        apart.append(y[n] - np.append(scaled[n], 1) @ weights)
    assert ridge(x, y, 1e-4).variance == pytest.approx(np.square(apart).mean(0), rel=1e-6)
    assert regressor(x[:3], y[:3], 4, 1e-3).variance > 0


def test_a_hidden_layer_finds_what_no_line_divides():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1500, 2))
    truth = (x[:, 0] * x[:, 1] > 0).astype(int)
    for model, low, high in ((classifier(x, truth, 2, 8, 1e-4), 0.93, 1.0), (logistic(x, truth, 2, 1e-4), 0.0, 0.6)):
        z = model(fresh := rng.normal(size=(1000, 2)))
        assert low <= np.mean((z[:, 1] > z[:, 0]) == (fresh.prod(1) > 0)) <= high


def test_a_hidden_layer_finds_a_curve_and_what_is_left():
    rng = np.random.default_rng(1)
    x = rng.uniform(-2, 2, (1500, 1))
    model = regressor(x, 1e3 + 50 * x**2 + 5 * rng.normal(size=x.shape), 8, 1e-6)
    assert model(np.array([[0.0], [1.5]]))[:, 0] == pytest.approx([1e3, 1e3 + 112.5], abs=3)
    assert model.variance[0] == pytest.approx(25, rel=0.2)


@pytest.mark.parametrize("space, kind", [((16, 16), PowerSpectrumBaseline), ((12, 12, 12), PowerSpectrumMLP)])
def test_the_baselines_tell_steep_spectra_from_flat_ones_and_nothing_where_there_is_nothing(space, kind):
    rng = np.random.default_rng(3)
    k = np.sqrt(sum(n**2 for n in np.meshgrid(*[np.fft.fftfreq(n, 1 / n) for n in space], indexing="ij")))

    def field(slope):
        return np.fft.ifftn(
            np.fft.fftn(rng.standard_normal((1, *space)), axes=range(1, k.ndim + 1)) * np.maximum(k, 1) ** -slope
        ).real

    for slopes, low, high in (((1.0, 1.6), 0.85, 1.0), ((1.0, 1.0), 0.3, 0.7)):
        truth = np.arange(160) % 2
        fields = [field(slopes[c]) for c in truth]
        baseline = kind(bins=6)
        baseline.fit(fields[:100], truth[:100], 2)
        z = baseline.predict(fields[100:])
        assert low <= np.mean((z[:, 1] > z[:, 0]) == truth[100:]) <= high
