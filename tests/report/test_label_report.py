"""The report of labels: figures draw, bytes repeat, numbers of the tables are those of the rows."""

import dataclasses
import xml.etree.ElementTree as ElementTree

import answered
import numpy as np
import pytest
import synthetic

from m2m_core import registry
from m2m_core.metrics import judging
from m2m_core.report import judged, labels
from m2m_core.report.context import Context
from m2m_core.report.draw import draw, figure
from m2m_core.report.figures.comparison import comparison
from m2m_core.report.page import render
from m2m_core.report.sections.ablations import ablations

FIGURES = sorted(registry.entries("label_figure"))
SHAPES = {
    "binary": {},
    "classes": {"classes": 4, "names": ("kind",), "redshifts": (0.0, 1.0)},
    "parameters": {"classes": None, "names": ("omega_m", "sigma_8")},
    "wholes": {"slices": 1},
    "partial": {"missing": (1,)},
}


@pytest.fixture(scope="module", params=sorted(SHAPES))
def shaped(request, tmp_path_factory):
    return answered.tree(tmp_path_factory.mktemp(request.param), **SHAPES[request.param])


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    return answered.tree(tmp_path_factory.mktemp("binary"), redshifts=(0.0, 1.0))


def fitting(results):
    of_parameters = judged.classes(results, results.labels[0], "emulator") is None
    return [name for name in FIGURES if name == "saliency" or (name == "recovery") == of_parameters]


def test_figures_draw_and_repeat(shaped, tmp_path):
    for name in fitting(shaped):
        for file in ("a.svg", "b.svg"):
            draw(name, shaped, tmp_path / file)
        root = ElementTree.parse(tmp_path / "a.svg").getroot()
        assert len(root.findall(".//{*}path")) > 20 and not root.findall(".//{*}text"), name
        assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_to_show_is_said(name, tmp_path):
    nothing = answered.tree(tmp_path, samples=6, missing=(0, 1, 2), saliency=False)
    assert "No " in figure(name, nothing).texts[0].get_text()


def test_scores_are_those_of_the_rows(binary):
    truth = {sample.id: sample.parameters["gr"] for sample in binary.catalogue.samples}
    rows = binary.rows("gr", "score", "emulator")
    found = judged.worth(binary, "gr", "emulator", "samples")
    for fold, part in rows.groupby("fold"):
        positive = np.array([truth[name] == 1 for name in part["sample"]])
        value = part["value"].to_numpy()
        assert found.loc[fold, "accuracy"] == pytest.approx(np.mean((value >= 0) == positive))
        assert found.loc[fold, "auc"] == pytest.approx(judging.roc(value, positive).area)
        assert found.loc[fold, "brier"] == pytest.approx(np.mean((judging.probability(value) - positive) ** 2))
    slices = judged.worth(binary, "gr", "emulator", "slices")
    assert judged.table(binary, "gr", "emulator", "slices").sum() == 24 * answered.SLICES
    assert (slices["accuracy"] <= 1).all() and slices["auc"].mean() < found["auc"].mean()


def test_slices_explain_their_part_of_the_variance_too(tmp_path):
    results = answered.tree(tmp_path, **SHAPES["parameters"], saliency=False)
    squares, truths = (
        results.rows("sigma_8", metric, "emulator").groupby("fold")["value"] for metric in ("slice_square", "label")
    )
    found = judged.worth(results, "sigma_8", "emulator", "slices")["r2"]
    expected = [1 - squares.get_group(k).mean() / truths.get_group(k).var(ddof=0) for k in range(3)]
    assert found.tolist() == pytest.approx(expected)
    assert (found < judged.worth(results, "sigma_8", "emulator", "samples")["r2"]).all()


def test_an_ablation_of_labels_is_compared_by_what_its_answers_are_worth(binary):
    others = [binary, dataclasses.replace(binary, name="wide", label="wide", base="racoon", ablation="width")]
    texts = [axes.get_ylabel() + axes.get_xlabel() + axes.get_title() for axes in comparison(others).axes]
    assert any("gr, accuracy" in text for text in texts)
    (group,) = ablations(Context(others, {}, {}, {})).blocks
    table = group.blocks[1]
    place = [column.label for column in table.columns].index("gr accuracy ↑")
    worth = judged.leading(binary, "gr")
    assert [row[place].text for row in table.rows] == [f"{worth.mean():.2f} ± {worth.std():.2f}"] * 2


def test_the_calibration_error_of_the_figure_is_that_of_the_table(binary):
    error = judged.score(judged.worth(binary, "gr", "emulator", "slices")["ece"])
    texts = [text.get_text() for axes in figure("reliability", binary).axes for text in axes.texts]
    assert f"ECE {labels.measure(error.mean, error.spread, 3)}" in texts


def test_probabilities_that_were_never_told_have_no_share(binary):
    scores = binary.rows("gr", "score", "emulator")["value"]
    found = figure("reliability", binary).axes[2].patches[0].get_data()
    expected = np.histogram(judging.probability(scores), 10, (0.0, 1.0))[0] / len(scores)
    assert found.values == pytest.approx(expected) and found.edges == pytest.approx(np.linspace(0, 1, 11))


def test_redshifts_are_judged_apart(binary):
    parts = judged.at_redshifts(binary)
    assert list(parts) == [0.0, 1.0]
    tables = [judged.table(part, "gr", "emulator", "samples") for part in parts.values()]
    assert np.array_equal(sum(tables), judged.table(binary, "gr", "emulator", "samples"))


def test_the_page_says_what_the_network_adds(shaped, tmp_path):
    field = synthetic.tree(tmp_path, samples=3, mesh=8)
    page = render(Context([shaped, field], {"report": {}, "experiments": {}}, {"versions": {}}, {}))
    assert "network tells" in page and "P(k) baseline" in page and "beats" in page
    assert ("Redshift by redshift" in page) == ("kind" in shaped.labels)
    assert "Bins" not in render(Context([shaped], {"report": {}}, {"versions": {}}, {})).split("<main")[-1][:300]
