"""Spectra against waves of known amplitude, white noise, a direct sum over particles, and a slow estimator."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2m_core.errors import DataError
from m2m_core.physics import spectra
from m2m_core.physics.assignment import density

BOXES = [
    ((16, 16, 16), (100.0, 100.0, 100.0)),
    ((12, 16, 8), (75.0, 100.0, 50.0)),
    ((9, 15, 12), (30.0, 50.0, 40.0)),
    ((8, 8, 10), (0.1, 0.3, 1 / 3)),
    ((8, 12, 12), (0.1, 0.3, 0.3)),  # in floats 0.3 / 0.1 < 3
    ((15, 15, 15), (64.0, 64.0, 64.0)),
    ((32, 32), (50.0, 50.0)),
    ((21, 30), (70.0, 100.0)),
    ((8, 32), (400.0, 100.0)),
    ((31,), (70.0,)),
]


def noise(shape: tuple[int, ...], seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def waves(shape: tuple[int, ...], box_size: tuple[float, ...]):
    """(integer wave vector, exact (|k| / kF of the longest axis)^2) of every mode, one by one."""
    lengths = [Fraction(length).limit_denominator(1000) for length in box_size]
    ratios = [max(lengths) / length for length in lengths]
    ranges = [range(-((n - 1) // 2), n // 2 + 1) for n in shape]
    for wave in itertools.product(*ranges):
        yield wave, sum((n * r) ** 2 for n, r in zip(wave, ratios, strict=True))


def last_shell(shape: tuple[int, ...], box_size: tuple[float, ...]) -> int:
    lengths = [Fraction(length).limit_denominator(1000) for length in box_size]
    return math.floor(min(Fraction(n, 2) * max(lengths) / x for n, x in zip(shape, lengths, strict=True))) - 1


def slow(a: np.ndarray, b: np.ndarray, box_size: tuple[float, ...]):
    """k, modes, Re(a b*) by a loop over the modes of the full complex FFT, with exact fractions for the shells."""
    shape, last = a.shape, last_shell(a.shape, box_size)
    product = (np.fft.fftn(a) * np.fft.fftn(b).conj()).real * math.prod(box_size) / a.size**2
    sums = np.zeros((3, last + 1))
    for wave, square in waves(shape, box_size):
        shell = math.isqrt(square.numerator // square.denominator)
        if 0 < shell <= last:
            sums[:, shell] += 2 * np.pi / max(box_size) * math.sqrt(square), 1, product[wave]
    return sums[0, 1:] / sums[1, 1:], sums[1, 1:], sums[2, 1:] / sums[1, 1:]


@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)])
@pytest.mark.parametrize("shape, box_size", BOXES)
def test_agrees_with_the_slow_estimator(shape, box_size, dtype, tolerance):
    a, b = noise(shape, 1, dtype), noise(shape, 2, dtype)
    found = spectra.spectra(a, a + b, box_size)
    for x, y, value in ((a, a, found.power_a), (a + b, a + b, found.power_b), (a, a + b, found.cross)):
        k, modes, expected = slow(x, y, box_size)
        np.testing.assert_array_equal(found.modes, modes)
        np.testing.assert_allclose(found.k, k, rtol=1e-12)
        np.testing.assert_allclose(value, expected, rtol=tolerance)
    np.testing.assert_array_equal(spectra.power(a, box_size).power, found.power_a)


def test_red_float32_spectrum_is_right_to_the_last_shell():
    shape, box_size = (32, 32, 32), (100.0,) * 3
    frequencies = np.meshgrid(*[np.fft.fftfreq(n, 1 / n) for n in shape], indexing="ij")
    norm = np.sqrt(sum(f**2 for f in frequencies)) + (sum(f**2 for f in frequencies) == 0)
    red = np.fft.ifftn(np.fft.fftn(noise(shape)) / norm**2.5).real.astype(np.float32)
    np.testing.assert_allclose(spectra.power(red, box_size).power, slow(red, red, box_size)[2], rtol=1e-5)


@pytest.mark.parametrize("wave", [(1, 0, 0), (0, 2, 0), (0, 0, 3), (1, -2, 2), (2, 1, -1)])
@pytest.mark.parametrize("shape, box_size", [((16, 16, 16), (100.0,) * 3), ((10, 15, 20), (50.0, 75.0, 100.0))])
def test_plane_wave(shape, box_size, wave):
    """A cos(k x) has the power V A^2 / 4 at +k and at -k, and none elsewhere."""
    phase = sum(2 * np.pi * n * i / size for n, i, size in zip(wave, np.indices(shape), shape, strict=True))
    k, modes, power = spectra.power(3.0 * np.cos(phase + 0.3), box_size)
    unit = 2 * np.pi / max(box_size)
    square = sum((2 * np.pi * n / length) ** 2 for n, length in zip(wave, box_size, strict=True))
    shell = math.floor(math.sqrt(square) / unit + 1e-9) - 1
    assert power[shell] * modes[shell] == pytest.approx(2 * math.prod(box_size) * 9.0 / 4)
    assert np.delete(power, shell).max() < 1e-20 * power[shell]
    assert unit * (shell + 1) <= k[shell] * (1 + 1e-12) < unit * (shell + 2)


def test_white_noise_level():
    """White noise of variance s^2 in N cells has the power V / N s^2 at every k."""
    shape, box_size = (48, 32, 40), (96.0, 64.0, 80.0)
    _, modes, power = spectra.power(3.0 * noise(shape, dtype=np.float32), box_size)
    pull = (power / (9.0 * 8.0) - 1) / np.sqrt(2 / modes)
    assert np.abs(pull).max() < 4
    assert np.sqrt(np.mean(pull**2)) < 1.6


@pytest.mark.parametrize("shape", [(16, 16, 16), (15, 15, 15), (24, 24), (12, 9, 14)])
def test_parseval(shape):
    """Waves below the Nyquist frequency only: the variance is the sum of modes times power over the volume."""
    box_size = tuple(2.0 * n for n in shape)
    limit = ((min(shape) // 2) * max(shape) / min(shape) - 1) / max(shape)
    frequency = sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(n) for n in shape], indexing="ij"))
    field = np.fft.ifftn(np.fft.fftn(noise(shape)) * (frequency < 0.6 * limit**2)).real
    k, modes, power = spectra.power(field, box_size)
    assert (modes * power).sum() / math.prod(box_size) == pytest.approx(field.var(), rel=1e-12)


def test_shells_are_closed_below_and_open_above():
    """|n| = 3, 5, 7 exactly, as (2, 2, 1) or (4, 3, 0), begin their shells; rounding must not move them down."""
    modes = spectra.power(noise((16, 16, 16)), (17.3,) * 3).modes
    square = np.array([n * n + m * m + p * p for n, m, p in itertools.product(range(-8, 9), repeat=3)])
    expected = [((square >= j * j) & (square < (j + 1) ** 2)).sum() for j in range(1, 8)]
    assert modes.tolist() == expected
    assert modes[0] == 6 + 12 + 8


def test_ends_at_the_nyquist_frequency_of_the_coarsest_axis():
    k, _, _ = spectra.power(noise((32, 8, 32)), (64.0, 64.0, 64.0))
    assert len(k) == 3
    assert k[-1] < np.pi * 8 / 64


def test_an_axis_of_one_cell_sets_no_limit():
    field = noise((16, 16))
    flat = spectra.power(field[..., None], (50.0, 50.0, 500.0))
    plane = spectra.power(field, (50.0, 50.0))
    np.testing.assert_array_equal(flat.modes, plane.modes)
    np.testing.assert_allclose(flat.power, 500.0 * plane.power)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 2), (3, 3, 3)])
def test_too_few_cells_for_a_shell(shape):
    assert len(spectra.power(noise(shape), (10.0,) * len(shape)).k) == 0


@pytest.mark.parametrize("rows", [1, 2, 3, 5])
@pytest.mark.parametrize("shape", [(16, 10, 12), (15, 11, 12), (14, 9), (13, 8)])
def test_slabs_do_not_matter(monkeypatch, shape, rows):
    field, box_size = noise(shape), tuple(map(float, shape))
    whole = spectra.power(field, box_size).power
    monkeypatch.setattr(spectra, "SLAB", rows * 16 * (shape[-1] // 2 + 1) * math.prod(shape[1:-1]))
    np.testing.assert_allclose(spectra.power(field, box_size).power, whole, rtol=1e-12)


def test_vectors_sum_over_components():
    field, box_size = noise((3, 12, 10, 14)), (12.0, 10.0, 14.0)
    single = [spectra.power(part, box_size).power for part in field]
    np.testing.assert_allclose(spectra.power(field, box_size).power, sum(single), rtol=1e-12)


def test_cross_spectrum_keeps_its_sign():
    field, box_size = noise((2, 16, 16, 16)), (30.0,) * 3
    pair = spectra.spectra(field, -2 * field, box_size)
    np.testing.assert_allclose(pair.cross, -2 * pair.power_a, rtol=1e-12)
    np.testing.assert_allclose(pair.power_b, 4 * pair.power_a, rtol=1e-12)


def test_a_quarter_turn_of_phase_has_no_cross_power():
    x = 2 * np.pi * np.arange(32) / 32 * np.ones((32, 1))
    pair = spectra.spectra(np.sin(3 * x), np.cos(3 * x), (10.0, 10.0))
    assert np.abs(pair.cross).max() < 1e-12 * pair.power_a.max()


@pytest.mark.parametrize("offset, scale", [(1e4, 1.0), (0.0, 1e-25), (0.0, 1e25), (-3e30, 1e25)])
def test_float32_survives_means_and_units(offset, scale):
    field = (noise((16, 16, 16)) * scale + offset).astype(np.float32)
    exact = spectra.power(field.astype(np.float64), (10.0,) * 3).power
    np.testing.assert_allclose(spectra.power(field, (10.0,) * 3).power, exact, rtol=1e-5)


@pytest.mark.parametrize("value", [0.0, 300.1, -1e-30])
def test_a_constant_has_no_power(value):
    assert not spectra.power(np.full((8, 8, 8), value, np.float32), (10.0,) * 3).power.any()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values_are_refused(value):
    field = noise((8, 8))
    field[3, 4] = value
    with pytest.raises(DataError, match="not finite"):
        spectra.power(field, (1.0, 1.0))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="1 to 3 axes"):
        spectra.power(noise((8, 8)), (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="one shape"):
        spectra.spectra(noise((8, 8)), noise((8, 9)), (1.0, 1.0))


def test_integers_are_read_as_numbers():
    field = np.random.default_rng(0).integers(0, 9, (12, 12))
    np.testing.assert_array_equal(
        spectra.power(field, (1.0, 1.0)).power, spectra.power(field.astype(float), (1.0, 1.0)).power
    )


@settings(max_examples=40)
@given(
    shape=st.lists(st.integers(4, 12), min_size=2, max_size=3).map(tuple),
    shift=st.tuples(*[st.integers(0, 11)] * 3),
    axes=st.permutations(range(3)),
    seed=st.integers(0, 99),
)
def test_symmetries(shape, shift, axes, seed):
    """Translations, reflections and permutations of the axes with their box leave spectra as they are."""
    dims = len(shape)
    box_size = tuple(float(n + i) for i, n in enumerate(shape))
    axes = [axis for axis in axes if axis < dims]
    a, b = noise(shape, seed), noise(shape, seed + 100)
    moved = [np.roll(x, shift[:dims], range(dims))[(slice(None, None, -1),) * dims].transpose(axes) for x in (a, b)]
    before = spectra.spectra(a, b, box_size)
    after = spectra.spectra(*map(np.ascontiguousarray, moved), tuple(box_size[axis] for axis in axes))
    np.testing.assert_array_equal(after.modes, before.modes)
    for name in ("k", "power_a", "power_b"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-9)
    np.testing.assert_allclose(after.cross, before.cross, atol=1e-9 * before.power_a.max(initial=0))


@settings(max_examples=40)
@given(
    shape=st.lists(st.integers(1, 9), min_size=2, max_size=3).map(tuple),
    cells=st.tuples(*[st.sampled_from([1.0, 0.5, 2.0, 1 / 3, 0.1])] * 3),
)
def test_mode_counts_and_bounds(shape, cells):
    """Every shell below the Nyquist frequency holds an even number of modes, at least two, of rising k."""
    box_size = tuple(n * cell for n, cell in zip(shape, cells, strict=False))
    k, modes, power = spectra.power(noise(shape), box_size)
    assert (modes % 2 == 0).all() and (modes >= 2).all()
    assert (np.diff(k) > 0).all() and np.isfinite(power).all()
    assert (k <= min((np.pi * n / x for n, x in zip(shape, box_size, strict=True) if n > 1), default=0)).all()


# ---- parts of vectors


def potential_flow(shape: tuple[int, ...], box_size: tuple[float, ...]) -> np.ndarray:
    modes = np.fft.fftn(noise(shape))
    for axis, n in enumerate(shape):  # the gradient of a Nyquist wave is not real
        modes[(slice(None),) * axis + (slice((n + 1) // 2, n // 2 + 1),)] = 0
    waves = [np.fft.fftfreq(n, length / n) for n, length in zip(shape, box_size, strict=True)]
    return np.stack([np.fft.ifftn(1j * w * modes).real for w in np.meshgrid(*waves, indexing="ij")])


@pytest.mark.parametrize("shape, box_size", [((12, 16, 10), (30.0, 40.0, 50.0)), ((16, 15), (32.0, 20.0))])
def test_a_gradient_has_no_curl(shape, box_size):
    flow = potential_flow(shape, box_size)
    along, across = spectra.helmholtz(flow, -flow, box_size)
    np.testing.assert_allclose(along.power_a, spectra.power(flow, box_size).power, rtol=1e-9)
    np.testing.assert_allclose(along.cross, -along.power_a, rtol=1e-9)
    assert across.power_a.max() < 1e-9 * along.power_a.max()


def test_a_rotation_has_no_divergence():
    flow = potential_flow((16, 18), (32.0, 20.0))
    turned = np.stack([-flow[1], flow[0]])
    along, across = spectra.helmholtz(turned, turned, (32.0, 20.0))
    assert along.power_a.max() < 1e-9 * across.power_a.max()
    np.testing.assert_allclose(across.cross, spectra.power(turned, (32.0, 20.0)).power, rtol=1e-9)


def test_helmholtz_needs_vectors():
    with pytest.raises(ValueError, match="3 components"):
        spectra.helmholtz(noise((2, 8, 8, 8)), noise((2, 8, 8, 8)), (1.0,) * 3)


# ---- densities of displaced particles


def particles(shape: tuple[int, ...], box_size: tuple[float, ...], seed: int = 0) -> np.ndarray:
    cells = [length / n for length, n in zip(box_size, shape, strict=True)]
    return np.stack([2.0 * cell * noise(shape, seed + i) for i, cell in enumerate(cells)])


def direct(displacement: np.ndarray, box_size: tuple[float, ...]) -> np.ndarray:
    """P of the particles in every shell, by summing exp(-i k x) over them: no mesh, no window."""
    shape = displacement.shape[1:]
    start = [(i + 0.5) * length / n for i, length, n in zip(np.indices(shape), box_size, shape, strict=True)]
    x = [(s + d).ravel() / length for s, d, length in zip(start, displacement, box_size, strict=True)]
    last = last_shell(shape, box_size)
    sums = np.zeros((2, last + 1))
    for wave, square in waves(shape, box_size):
        shell = math.isqrt(square.numerator // square.denominator)
        if 0 < shell <= last:
            phase = 2 * np.pi * sum(n * part for n, part in zip(wave, x, strict=True))
            sums[:, shell] += 1, np.cos(phase).sum() ** 2 + np.sin(phase).sum() ** 2
    return sums[1, 1:] / sums[0, 1:] * math.prod(box_size) / x[0].size ** 2


def plain(displacement: np.ndarray, box_size: tuple[float, ...]) -> np.ndarray:
    """CIC on one mesh, its mean window divided out."""
    modes = np.fft.fftn(density(displacement, box_size))
    for axis, n in enumerate(displacement.shape[1:]):
        modes /= np.sinc(np.fft.fftfreq(n)).reshape([-1 if i == axis else 1 for i in range(modes.ndim)]) ** 2
    field = np.fft.ifftn(modes).real
    return spectra.power(field, box_size).power


@pytest.mark.parametrize(
    "shape, box_size", [((12, 12, 12), (60.0,) * 3), ((15, 10, 12), (75.0, 50.0, 60.0)), ((32, 24), (64.0, 48.0))]
)
def test_interlacing_removes_the_aliases(shape, box_size):
    displacement = particles(shape, box_size)
    truth = direct(displacement, box_size)
    interlaced = spectra.density_spectra(displacement, displacement, box_size)
    error, without = np.abs(interlaced.power_a / truth - 1), np.abs(plain(displacement, box_size) / truth - 1)
    assert error[-1] < 0.5 * without[-1]
    assert error[: len(error) // 2].max() < 0.01
    np.testing.assert_allclose(interlaced.cross, interlaced.power_a, rtol=1e-12)


def test_density_spectra_of_float32_and_of_a_still_lattice():
    displacement = particles((12, 12, 12), (60.0,) * 3)
    exact = spectra.density_spectra(displacement, 0 * displacement, (60.0,) * 3)
    single = displacement.astype(np.float32)
    rounded = spectra.density_spectra(single, single, (60.0,) * 3)
    np.testing.assert_allclose(rounded.power_a, exact.power_a, rtol=1e-4)
    assert np.abs(exact.power_b).max() < 1e-20 and np.abs(exact.cross).max() < 1e-9


def test_large_scale_density_follows_linear_theory():
    """A small sine displacement psi makes delta = -d psi / dx, whatever the mesh."""
    shape, length = (64, 8), 100.0
    x = (np.indices(shape)[0] + 0.5) * length / 64
    wave = 2 * np.pi / length
    displacement = np.stack([1e-3 * np.sin(wave * x), 0 * x])
    found = spectra.density_spectra(displacement, displacement, (length, length))
    expected = 2 * length**2 * (1e-3 * wave) ** 2 / 4 / found.modes[0]
    assert found.power_a[0] == pytest.approx(expected, rel=1e-3)


# ---- boxes that do not repeat, or along some axes alone


def test_taper_is_a_product_of_hann_windows_of_the_axes_that_end():
    hann = np.sin(np.pi * (np.arange(8) + 0.5) / 8) ** 2
    window = spectra.taper((8, 1, 5), (False,) * 3)
    assert window.shape == (8, 1, 5)
    assert window[:, 0, 2] == pytest.approx(hann)
    assert spectra.taper((8, 3), (False, True)) == pytest.approx(np.outer(hann, np.ones(3)))


@pytest.mark.parametrize("around", [(False, False, False), (False, True, True)])
def test_taper_recovers_white_noise_and_ignores_ramps(around):
    """Tapered white noise keeps its level; a ramp, whose faces do not meet, adds no more than its lowest shells."""
    shape, box_size = (32, 32, 32), (64.0,) * 3

    def tapered(field):
        return spectra.tapered_spectra(field, field, box_size, around)

    field = noise(shape)
    level = tapered(field)
    assert np.average(level.power_a[3:], weights=level.modes[3:]) == pytest.approx(8.0, rel=0.05)
    ramp = field + np.indices(shape)[0]
    assert tapered(field + 100).power_a == pytest.approx(level.power_a, rel=1e-9)
    assert tapered(ramp).power_a[6:] == pytest.approx(level.power_a[6:], rel=0.05)
    assert spectra.spectra(ramp, ramp, box_size).power_a[6] > 1.2 * level.power_a[6]


@pytest.mark.parametrize("axis", [0, 1])
def test_a_wave_along_an_axis_that_goes_on_keeps_to_its_shell(axis):
    """Its power V A^2 / 4 at +k and -k; the open third axis spreads it to waves of the same shell alone."""
    shape, box_size = (16, 20, 12), (40.0,) * 3
    wave = 3.0 * np.cos(2 * np.pi * 4 * np.indices(shape)[axis] / shape[axis] + 0.3)
    found = spectra.tapered_spectra(wave, wave, box_size, (True, True, False))
    assert found.power_a[3] * found.modes[3] == pytest.approx(2 * 40.0**3 * 9.0 / 4)
    assert np.delete(found.power_a, 3).max() < 1e-20 * found.power_a[3]
    everywhere = spectra.tapered_spectra(wave, wave, box_size, (False,) * 3)
    assert everywhere.power_a[2] > 0.1 * found.power_a[3]


def test_the_power_of_a_gaussian_field_that_is_cut_along_one_axis():
    """Halves of periodic red fields, P = k^-2: the axis that goes on needs no taper, and is more right without."""
    length, n = 100.0, 32
    waves = np.meshgrid(np.fft.fftfreq(n, 1 / n), np.fft.fftfreq(2 * n, 1 / n), indexing="ij")
    k = 2 * np.pi / length * np.hypot(*waves)
    k[0, 0] = np.inf
    modes = np.fft.fft2(noise((800, n, 2 * n))) / k * n / length
    halves = np.fft.ifft2(modes).real[:, :, :n]
    errors = {}
    for around in ((True, False), (False, False), (True, True)):
        found = [spectra.tapered_spectra(half, half, (length,) * 2, around) for half in halves]
        power = np.mean([one.power_a for one in found], axis=0)
        errors[around] = np.abs(power * found[0].k ** 2 - 1)
    assert errors[True, False][4:].max() < 0.04
    assert errors[True, False][:3].sum() < 0.6 * errors[False, False][:3].sum()
    assert errors[True, True][4:].mean() > 3 * errors[True, False][4:].mean()
