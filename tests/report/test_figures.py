"""Every registered figure draws for every kind of results, and shows the numbers that it should."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import synthetic

from m2m_core import registry
from m2m_core.errors import ConfigError
from m2m_core.report import results as reading
from m2m_core.report import style
from m2m_core.report.draw import draw, figure
from m2m_core.report.figures import slices
from m2m_core.report.figures.learning import learning
from m2m_core.report.results import ExperimentResults

FIGURES = sorted(registry.entries("figure"))
SHAPES = {
    "space": {},
    "plane": {"dims": 2, "mesh": 24},
    "alone": {"samples": 1, "folds": 1},
    "scalar": {"quantity": "scalar", "baselines": ()},
    "bare": {"baselines": (), "judge_input": False},
    "crowded": {"baselines": ("2lpt", "za", "cola", "wiener"), "mesh": 8},
    "hostile": {"names": [r"a$\input{/etc/passwd}$", "<script>alert(1)</script>", "b\x1b[2J"]},
    "partial": {"missing": (0,)},
}
PIXEL = 4 / 3  # of a point


@pytest.fixture(scope="module", params=SHAPES)
def shaped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    return synthetic.tree(tmp_path_factory.mktemp(request.param), **SHAPES[request.param])


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_every_kind_of_results(name: str, shaped: ExperimentResults, tmp_path: Path) -> None:
    draw(name, shaped, tmp_path / "figure.svg")
    root = ElementTree.parse(tmp_path / "figure.svg").getroot()
    assert float(root.get("height").removesuffix("pt")) * PIXEL <= 1000
    assert len(root.findall(".//{*}path")) > 30  # not the blank that says why there is nothing
    assert not root.findall(".//{*}text") and not root.findall(".//{*}script")
    assert [file.name for file in tmp_path.iterdir()] == ["figure.svg"]


@pytest.mark.parametrize("name", FIGURES)
def test_bytes_repeat(name: str, results: ExperimentResults, tmp_path: Path) -> None:
    for file in ("a.svg", "b.svg"):
        draw(name, results, tmp_path / file)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_to_show_is_said(name: str, tmp_path: Path) -> None:
    nothing = synthetic.tree(tmp_path, samples=2, folds=2, mesh=8, missing=(0, 1))
    drawn = figure(name, nothing)
    assert not drawn.axes and len(drawn.texts) == 1


def test_the_users_matplotlibrc_changes_nothing(results: ExperimentResults, tmp_path: Path) -> None:
    draw("transfer", results, tmp_path / "a.svg")
    with style.matplotlib.rc_context({"lines.linewidth": 9, "text.usetex": True, "axes.grid": True}):
        draw("transfer", results, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_an_unknown_figure_or_option_is_refused(results: ExperimentResults, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'transfer'"):
        draw("transfr", results, tmp_path / "a.svg")
    with pytest.raises(ConfigError, match="component"):
        draw("slices", results, tmp_path / "a.svg", {"componant": 1})


def test_lines_are_means_and_bands_standard_deviations(results: ExperimentResults) -> None:
    table = pd.concat(pd.read_csv(folder / "evaluation.csv") for folder in results.folds.values())
    rows = table[(table.source == "emulator") & (table.field == "density") & (table.metric == "transfer")]
    samples = np.array([part.sort_values("x").value for _, part in rows.groupby("sample")])
    panel = figure("transfer", results).axes[1]
    line = next(line for line in panel.lines if line.get_label() == "emulator")
    assert len(samples) == 6
    np.testing.assert_allclose(line.get_ydata(), samples.mean(axis=0), rtol=1e-9)
    band = panel.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose(band.max(), (samples.mean(axis=0) + samples.std(axis=0, ddof=1)).max(), rtol=1e-6)


def line_of(panel: object, label: str) -> np.ndarray:
    return next(line for line in panel.lines if line.get_label() == label).get_ydata()


def test_ratio_of_powers_is_the_square_of_the_transfer_function(results: ExperimentResults) -> None:
    squares = results.joined(results.rows("density", "transfer", "2lpt").assign(value=lambda rows: rows["value"] ** 2))
    np.testing.assert_allclose(line_of(figure("power", results).axes[3], "2LPT"), squares.mean, rtol=1e-6)


def test_lost_variance_is_the_stochasticity_that_was_measured(results: ExperimentResults) -> None:
    measured = results.curve("displacement", "stochasticity", "input")
    np.testing.assert_allclose(line_of(figure("correlation", results).axes[2], "input"), measured.mean, rtol=1e-6)


def test_the_nyquist_frequency_is_that_of_the_mesh(results: ExperimentResults) -> None:
    panel = figure("transfer", results).axes[0]
    line = next(line for line in panel.lines if line.get_label() == "Nyquist frequency")
    assert line.get_xdata()[0] == pytest.approx(np.pi * 16 / synthetic.BOX)


def test_truth_as_its_own_prediction_has_no_residual(tmp_path: Path) -> None:
    same = synthetic.tree(tmp_path, samples=2, folds=2, quality=0.0)
    panels = {panel.get_title(): panel for panel in figure("slices", same).axes if panel.get_title()}
    np.testing.assert_array_equal(panels["residual"].images[0].get_array(), 0)
    np.testing.assert_array_equal(*(panels[name].images[0].get_array() for name in ("emulator", "target")))


def test_images_of_one_quantity_share_their_scale_and_their_unit(results: ExperimentResults) -> None:
    drawn = figure("slices", results)
    images = [panel.images[0] for panel in drawn.axes if panel.get_title() in ("input", "target", "emulator")]
    assert len(images) == 6 and len({image.get_clim() for image in images}) == 2
    low, high = next(p.images[0].get_clim() for p in drawn.axes if p.get_title() == "residual")
    assert low == -high
    assert any("Mpc" in panel.get_xlabel() and "psi" in panel.get_xlabel() for panel in drawn.axes)


def test_an_image_shows_the_slice(results: ExperimentResults) -> None:
    sample = results.catalogue.held_out(0)[0]
    target = np.load(sample.fields["target"][0].file)
    panel = next(p for p in figure("slices", results, {"component": 2}).axes if p.get_title() == "target")
    np.testing.assert_array_equal(panel.images[0].get_array(), target[2, :, :, 8].T)


def test_particles_at_rest_have_the_mean_density(results: ExperimentResults) -> None:
    slab = slices._slab(np.zeros((3, 16, 16, 16), np.float32), results.catalogue.samples[0])
    np.testing.assert_allclose(slab, 0, atol=1e-6)


def test_a_density_is_averaged_over_a_sixteenth_of_the_box() -> None:
    rng = np.random.default_rng(0)
    field = rng.standard_normal((3, 32, 32, 32)).astype("f4")
    sample = synthetic.Sample("a", "a", 0, {}, (32.0, 32.0, 32.0), 0.0, 0.3, True)
    mass = slices.density(field, sample.box_size, shift=-0.5)[:, :, 16:18].mean(axis=2) + 1
    np.testing.assert_allclose(slices._slab(field, sample), np.log10(np.maximum(mass, slices.EMPTIEST)), rtol=1e-6)


def test_fine_images_are_averaged() -> None:
    image = np.arange(512.0 * 600).reshape(512, 600)
    coarse = slices._coarse(image)
    assert max(coarse.shape) <= slices.PIXELS
    assert coarse.mean() == pytest.approx(image[:510].mean())


def test_ten_million_steps_become_two_thousand_points_with_their_validations() -> None:
    steps = np.arange(100_000)
    validation = np.where(steps % 5000 == 4321, 1.0, np.nan)
    thin = reading.thinned(pd.DataFrame({"step": steps, "validation": validation}))
    assert len(thin) <= 2000
    assert thin.step.iloc[0] == 0 and thin.step.iloc[-1] == 99_999
    assert thin.validation.notna().sum() == 20


def test_samples_of_different_boxes_are_joined_on_common_bins() -> None:
    shells = np.arange(1, 21)
    small, large = (pd.DataFrame({"sample": name, "x": shells * k}) for name, k in (("a", 0.05), ("b", 0.0311)))
    same = pd.concat([small, small.assign(sample="c")])
    np.testing.assert_allclose(reading.common(same), same.x)
    mixed = pd.concat([small, large])
    joined = reading.common(mixed)
    assert len(np.unique(joined)) <= 20
    assert np.mean(joined) == pytest.approx(mixed.x.mean())


def test_one_point_distributions_with_bins_of_their_own_keep_their_integral(results: ExperimentResults) -> None:
    panel = figure("one_point", results).axes[0]
    for line in panel.lines:
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("name", ["a$x$b", r"\$x$", "$", r"$\frac{a", "%#&_^{}~"])
def test_names_are_printed_and_not_typeset(name: str) -> None:
    with style.applied():
        drawn = style.Figure()
        text = drawn.text(0, 0, style.plain(name))
        assert text._preprocess_math(text.get_text()) == (name, False)


def test_control_characters_do_not_reach_a_figure() -> None:
    assert style.plain("a\x1b[2J\n") == "a\ufffd[2J\ufffd"


def test_losses_of_two_networks_are_drawn_apart() -> None:
    history = pd.DataFrame({"step": [1, 2, 3], "loss": [3.0, 2.0, 1.0], "validation": [3.0] * 3, "lr": [0.1] * 3})
    opposed = history.assign(adversarial=[0.0, -0.1, -0.2], critic=[2.0, 1.9, 1.8])
    one, two = (learning(SimpleNamespace(histories={0: table, 1: table})) for table in (history, opposed))
    assert len(two.axes) == len(one.axes) + 1
    drawn = [list(line.get_ydata()) for line in two.axes[1].lines if len(line.get_ydata())]
    assert drawn == [[0.0, -0.1, -0.2]] * 2 + [[2.0, 1.9, 1.8]] * 2
    assert {text.get_text() for text in two.legends[0].get_texts()} >= {"generator", "discriminator"}


@pytest.mark.parametrize("losses, scale", [([3.0, 0.2, 0.0], "log"), ([3.0, 0.2, -4.0], "linear")])
def test_a_loss_that_is_a_logarithm_is_drawn_below_zero(losses: list[float], scale: str) -> None:
    history = pd.DataFrame({"step": [1, 2, 3], "loss": losses, "validation": losses, "lr": [0.1] * 3})
    figure = learning(SimpleNamespace(histories={0: history}))
    assert figure.axes[0].get_yscale() == scale
