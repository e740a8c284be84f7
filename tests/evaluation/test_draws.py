"""Draws whose spread is known: CRPS and spread over skill of Gaussian ensembles, ranks, ties, spectra, blocks."""

import math

import numpy as np
import pytest

from m2m_core.metrics import compare
from m2m_core.metrics import draws as module
from m2m_core.metrics.draws import compare_draws
from m2m_core.physics.assignment import density

BOX, AROUND = (48.0,) * 3, (True,) * 3
SPACE, M = (24, 24, 24), 6
FIELD = [("scalar", 1)]


def white(seed: int, channels: int = 1, space: tuple = SPACE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((channels, *space)).astype(np.float32)


def judged(draws, truth, quantities=FIELD, field="field", around=AROUND) -> dict:
    """metric -> its value, or {x: value}."""
    found: dict = {}
    for name, metric, x, value in compare_draws(draws, truth, BOX, around, quantities):
        if name == field and x is None:
            found[metric] = value
        elif name == field:
            found.setdefault(metric, {})[x] = value
    return found


def ensemble(width: float, m: int = M) -> tuple[list[np.ndarray], np.ndarray]:
    """m draws and a truth around the same field, the draws `width` times as far from it."""
    middle = 3 * white(0)
    return [middle + width * white(n + 1) for n in range(m)], middle + white(100)


@pytest.mark.parametrize("m", [2, 6])
@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_gaussian_draws_of_known_width(width, m):
    """E|x - y| - E|x - x'| / 2 of normal numbers is the fair CRPS for any m; all else is of chi-squared numbers."""
    found = judged(*ensemble(width, m))
    expected = math.sqrt(2 * (1 + width**2) / math.pi) - width / math.sqrt(math.pi)
    assert found["crps"] == pytest.approx(expected, abs=0.03)
    assert found["spread"] == pytest.approx(width, rel=0.02)
    assert found["mean_rmse"] == pytest.approx(math.sqrt(1 + width**2 / m), rel=0.02)
    skill = math.sqrt((m + 1) / m) * width / math.sqrt(1 + width**2 / m)
    assert found["spread_skill"] == pytest.approx(skill, rel=0.02)
    shells = np.array(list(found["spread_skill_spectrum"].values()))
    assert shells[3:] == pytest.approx(skill, rel=0.15) and np.mean(shells[3:]) == pytest.approx(skill, rel=0.03)
    ranks = np.array(list(found["rank"].values()))
    assert len(ranks) == m + 1 and ranks.mean() == pytest.approx(1)
    if width == 1:
        assert ranks == pytest.approx(1, abs=0.12)
    elif m > 2:
        assert (ranks[0] > 1.3 and ranks[-1] > 1.3) == (width < 1)  # too narrow: the truth lies outside


def test_a_wrong_width_of_small_scales_alone_is_seen_at_their_k():
    k = np.sqrt(sum(n**2 for n in np.meshgrid(*[np.fft.fftfreq(24, 1 / 24)] * 3, indexing="ij")))
    narrow = np.where(k > 6, 0.5, 1.0)
    draws = [np.fft.ifftn(np.fft.fftn(white(n)[0]) * narrow).real[None].astype("f4") for n in range(M)]
    found = judged(draws, white(100))["spread_skill_spectrum"]
    skill = np.array(list(found.values()))
    assert skill[3:5] == pytest.approx(1, abs=0.15)
    assert skill[7:] == pytest.approx(math.sqrt((M + 1) / M) * 0.5 / math.sqrt(1 + 0.25 / M), abs=0.06)


def test_crps_and_ranks_by_hand():
    """Draws 1 and 3 about truths 2 and 5; all draws equal to the truth have any rank with the same chance."""
    draws = [np.full((1, 1, 2), 1.0, "f4"), np.full((1, 1, 2), 3.0, "f4")]
    known = {"box_size": (1.0, 2.0), "around": (True, True), "quantities": FIELD}
    rows = {(m, x): v for _, m, x, v in compare_draws(draws, np.array([[[2.0, 5.0]]], "f4"), **known)}
    assert rows["crps", None] == pytest.approx(((1 - 1) + (3 - 1)) / 2)
    assert [rows["rank", float(n)] for n in range(3)] == pytest.approx([0, 1.5, 1.5])
    same = {(m, x): v for _, m, x, v in compare_draws([draws[0]] * 2, draws[0], **known)}
    assert [same["rank", float(n)] for n in range(3)] == pytest.approx([1, 1, 1])
    assert same["crps", None] == same["spread", None] == 0 and ("spread_skill", None) not in same


def test_amplitudes_are_those_of_each_draw():
    draws, truth = ensemble(0.7)
    found = judged(draws, truth)
    each = [compare(draw, truth, BOX, AROUND, FIELD, {"power_spectrum": {}}) for draw in draws]
    for metric in ("power", "transfer"):
        known = np.array([[v for _, name, _, v in rows if name == metric] for rows in each])
        assert list(found[f"{metric}_draws"].values()) == pytest.approx(known.mean(axis=0))
        assert list(found[f"{metric}_draws_spread"].values()) == pytest.approx(known.std(axis=0, ddof=1))


def test_densities_of_displacements_are_judged_as_they_are_painted():
    draws, truth = [2 * white(n, 3) for n in range(3)], 2 * white(9, 3)
    quantities = [("displacement", 3)]
    found = judged(draws, truth, quantities, "density")
    painted = [density(draw, BOX)[None] for draw in draws]
    plain = judged([one.astype("f4") for one in painted], density(truth, BOX)[None].astype("f4"))
    for metric in ("crps", "spread", "mean_rmse", "spread_skill"):
        assert found[metric] == pytest.approx(plain[metric], rel=1e-5)
    assert found["spread_skill"] == pytest.approx(1, abs=0.02)
    assert found["transfer_draws"] != plain["transfer_draws"]  # interlaced, free of the window
    assert "crps" not in judged(draws, truth, quantities, "density", around=(True, True, False))


def test_blocks_do_not_matter_and_what_is_unknown_does_not_count(monkeypatch):
    draws, truth = ensemble(1.0)
    whole = judged(draws, truth)
    monkeypatch.setattr(module, "EDGE", 7)
    parts = judged(draws, truth)
    assert parts["rank"] == whole["rank"] and parts["crps"] == pytest.approx(whole["crps"], rel=1e-12)
    hidden = truth.copy()
    hidden[:, :12] = np.nan
    half = judged(draws, hidden)
    monkeypatch.undo()
    cut = [draw[:, 12:] for draw in draws]
    rows = compare_draws(cut, truth[:, 12:], (24.0, 48.0, 48.0), AROUND, FIELD)
    expected = {metric: value for _, metric, x, value in rows if x is None}
    assert {name: half[name] for name in expected} == pytest.approx(expected, rel=1e-12)
