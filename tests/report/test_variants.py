"""Ablations and searches in the report: who wins and when nobody does, what the figures show, what the page says."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import synthetic
from test_page import ATTACKS, Page

from m2m_core.errors import DataError
from m2m_core.report.context import Context, SearchFiles
from m2m_core.report.draw import save
from m2m_core.report.figures.comparison import MOST, comparison, swept
from m2m_core.report.figures.search import search
from m2m_core.report.page import render
from m2m_core.report.results import ExperimentResults
from m2m_core.report.trials import Trials
from m2m_core.report.variants import Variants

PIXEL = 4 / 3  # of a point


@pytest.fixture
def grown(tmp_path: Path):
    """Makes an experiment of two folds; one with a base is a variant."""

    def tree(name: str, score: float | None = None, base: str | None = "vnet", **given) -> ExperimentResults:
        ablation = None if base is None else given.pop("ablation", "w")
        common = {"mesh": 8, "samples": 4, "folds": 2, "baselines": ()}
        return synthetic.tree(
            tmp_path, name=name, label=name, base=base, score=score, ablation=ablation, **common | given
        )

    return tree


def width(value: int) -> dict:
    return {"model": {"name": "vnet", "width": value}}


HUBER = {"loss": {"name": "huber", "delta": 0.1}}

# ---- the winner


def test_the_winner_has_the_best_validation_score_and_not_the_best_held_out_error(grown) -> None:
    base, fits, overfits = grown("vnet", 0.02, None), grown("fits", 0.03, quality=0.1), grown("chosen", 0.01, quality=5)
    found = Variants([base, fits, overfits])
    assert found.winner == 2
    assert found.verdict() == (
        "chosen has the best validation score of 3: 0.0098 ± 0.0003, against 0.0196 ± 0.0006 of vnet."
    )
    text = Page(render(Context([base, fits, overfits], {}, {}, {}))).text
    assert found.verdict() in text and "validation ↓" in text


def test_the_base_may_win_and_what_is_within_the_spread_is_said_to_be(grown) -> None:
    found = Variants([grown("vnet", 0.0200, None), grown("near", 0.0201), grown("far", 0.3)])
    assert found.winner == 0 and "against 0.0197" in found.verdict()
    assert "The next is nearer to it (9.8 × 10⁻⁵) than the folds are to each other." in found.verdict()


@pytest.mark.parametrize(
    "config, why",
    [
        (HUBER, "loss.name and loss.delta differ"),
        ({"loss": [{"name": "mse", "weight": 1.0}]}, "loss.name and loss differ"),
        ({"normalize": {"target": {"scaling": "minmax"}}}, "normalize.target.scaling differs"),
        ({"dataset": "other"}, "dataset differs"),
        ({"task": {"name": "other"}}, "task.name differs"),
    ],
)
def test_scores_of_another_measure_are_not_compared(grown, config: dict, why: str) -> None:
    base, other = grown("vnet", 0.02, None), grown("other", 0.001, config=config)
    found = Variants([base, other])
    assert found.winner is None
    assert found.verdict() == f"Validation scores are not comparable, because {why}: no winner is named."
    three = Variants([base, other, grown("wide", 0.01, config=width(16))])
    assert three.winner == 2 and three.verdict().endswith(f" Not comparable, because {why}: other.")


def test_keys_that_leave_the_score_its_meaning_do_not_matter(grown) -> None:
    other = {"normalize": {"input": {"scaling": "minmax"}}, "training": {"epochs": 3}, "evaluation": ["one_point"]}
    assert Variants([grown("vnet", 0.02, None), grown("other", 0.01, config=other)]).winner == 1


def test_without_validation_there_is_no_winner(grown) -> None:
    base, wide = grown("vnet", None, None), grown("wide", config=width(16))
    found = Variants([base, wide])
    assert found.verdict() == "Nothing was validated (training.validation), so no winner is named."
    text = Page(render(Context([base, wide], {}, {}, {}))).text
    assert found.verdict() in text and "validation ↓" not in text


def test_who_lacks_a_fold_or_a_score_is_not_ranked(grown) -> None:
    members = [grown("vnet", 0.02, None), grown("half", 0.001, missing=(1,)), grown("none"), grown("wide", 0.03)]
    found = Variants(members)
    assert found.winner == 0 and found.verdict().endswith(" Without a score of every fold: half and none.")
    few = Variants(members[:2])
    assert few.winner is None and few.verdict().startswith("Fewer than two validation scores can be compared")


def test_the_winner_is_marked_in_the_table_of_its_base_in_the_order_of_the_config(grown) -> None:
    members = [grown("wide", 0.03, config=width(16)), grown("vnet", 0.02, None), grown("narrow", 0.01, config=width(4))]
    html = render(Context(members, {}, {}, {}))
    table = html[html.index("Variants of vnet") :]
    table = table[: table.index("</table>")]
    rows = table.split("<tr")[2:]
    assert len(rows) == 3
    assert [name in row for name, row in zip(("vnet", "wide", "narrow"), rows, strict=True)] == [True] * 3
    assert ['class="marked"' in row for row in rows] == [False, False, True]
    assert "<strong>0.0098" in rows[2]


def test_a_sum_of_losses_is_told_in_words(grown) -> None:
    terms = [{"name": "mse", "weight": 1.0}, {"name": "huber", "delta": 0.1, "weight": 2.0}]
    members = [grown("vnet", 0.02, None), grown("sum", 0.03, config={"loss": terms})]
    assert "mse (weight 1.0), huber (delta 0.1, weight 2.0)" in Page(render(Context(members, {}, {}, {}))).text


# ---- the figure of an ablation


def lines(panel, label: str) -> list:
    return [line for line in panel.lines if line.get_label() == label]


def test_a_sweep_is_drawn_against_the_values_of_its_key(grown) -> None:
    members = [grown("vnet", 0.02, None)] + [grown(f"w{n}", 0.1 / n, config=width(n)) for n in (64, 2)]
    assert swept(Variants(members)) == "model.width"
    drawn = comparison(members)
    score, error = drawn.axes[:2]
    assert score.get_xlabel() == "model.width" and score.get_xscale() == "log"
    curve = next(line for line in score.lines if len(line.get_xdata()) == 3)
    np.testing.assert_array_equal(curve.get_xdata(), [2, 8, 64])
    np.testing.assert_allclose(curve.get_ydata(), np.array([0.05, 0.02, 0.1 / 64]) * 0.98)
    held_out = [members[i].evaluation.query("metric == 'rmse' and source == 'emulator' and field == 'displacement'")
                .groupby("fold")["value"].mean().mean() for i in (2, 0, 1)]  # fmt: skip
    np.testing.assert_allclose(next(line for line in error.lines if len(line.get_xdata()) == 3).get_ydata(), held_out)
    assert "displacement RMSE" in error.get_ylabel()


def test_error_bars_are_the_spread_over_the_folds(grown) -> None:
    members = [grown("vnet", 0.02, None), grown("wide", 0.01, config=width(16)), grown("wider", 0.03, config=width(9))]
    panel = comparison(members).axes[0]
    bars = [c.get_segments()[0] for c in panel.collections]
    spreads = sorted(float(np.ptp(bar[:, 1])) / 2 for bar in bars)
    np.testing.assert_allclose(spreads, [np.std([0.96, 1.0], ddof=1) * s for s in (0.01, 0.02, 0.03)])


@pytest.mark.parametrize(
    "configs, key",
    [
        ([width(2), width(4)], "model.width"), ([width(2)], None), ([width(2), HUBER], None),
        ([{"loss": {"name": "a"}}, {"loss": {"name": "b"}}], None), ([{"x": True}, {"x": False}], None),
        ([{"x": 1, "y": 1}, {"x": 2, "y": 2}], None), ([{"x": 0.5}, {"x": 1}], "x"), ([{"x": None}, {"x": 1}], None),
    ],
)  # fmt: skip
def test_what_counts_as_a_sweep(grown, configs: list, key: str | None) -> None:
    variants = [grown(f"v{n}", config=config) for n, config in enumerate(configs)]
    assert swept(Variants([grown("vnet", None, None), *variants])) == key


def test_variants_by_name_stand_in_rows_with_the_winner_told_apart(grown) -> None:
    members = [grown("vnet", 0.02, None), grown("unet", 0.01, config={"model": {"name": "unet"}}), grown("c", 0.03)]
    drawn = comparison(members)
    assert [text.get_text() for text in drawn.axes[0].get_yticklabels()] == ["vnet", "unet", "c"]
    (best,) = [c for c in drawn.axes[0].containers if c.get_label() == "best validation score"]
    np.testing.assert_allclose(np.asarray(best.lines[0].get_xdata(), float), [0.0098])
    np.testing.assert_allclose(np.asarray(best.lines[0].get_ydata(), float), [1])


def test_scores_that_cannot_be_compared_are_not_drawn_beside_each_other(grown) -> None:
    drawn = comparison([grown("vnet", 0.02, None), grown("robust", 0.01, config=HUBER)])
    assert [panel.get_xlabel().split("  ")[0] for panel in drawn.axes] == ["displacement RMSE", "density RMSE"]
    assert not [c for c in drawn.axes[0].containers if c.get_label() == "best validation score"]


def test_of_many_variants_the_best_are_shown(grown, tmp_path: Path) -> None:
    members = [grown("vnet", 1.0, None)] + [grown(f"v{n}", 0.5 - n / 100, config={"x": [n]}) for n in range(40)]
    names = [text.get_text() for text in comparison(members).axes[0].get_yticklabels()]
    assert names == ["vnet", *(f"v{n}" for n in range(40 - MOST + 1, 40))]
    save(lambda: comparison(members), tmp_path / "many.svg")
    root = ElementTree.parse(tmp_path / "many.svg").getroot()
    assert float(root.get("height").removesuffix("pt")) * PIXEL <= 1000


def test_an_ablation_without_results_says_so_and_one_in_part_is_drawn(grown) -> None:
    nothing = comparison([grown("vnet", None, None, missing=(0, 1)), grown("w", missing=(0, 1))])
    assert not nothing.axes and len(nothing.texts) == 1
    assert comparison([grown("vnet", 0.02, None), grown("w", missing=(0, 1)), grown("x", 0.1)]).axes


def test_bytes_of_the_figures_repeat(grown, table: Trials, tmp_path: Path) -> None:
    members = [grown("vnet", 0.02, None), grown("wide", 0.01, config=width(16))]
    for name in "ab":
        save(lambda: comparison(members), tmp_path / f"{name}.svg")
        save(lambda: search(table), tmp_path / f"search-{name}.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "search-a.svg").read_bytes() == (tmp_path / "search-b.svg").read_bytes()


# ---- searches

DRAW = {
    "optimizer.lr": {"low": 1e-4, "high": 0.1, "log": True},
    "model.width": [2, 4],
    "schedule": ["cosine", "plateau"],
}
ROWS = """\
number,optimizer.lr,model.width,schedule,score,steps,seconds,state,reason
0,0.0012345678,2,cosine,0.05,100,12.5,complete,
1,0.012345678,4,plateau,0.01,100,25.0,complete,
2,0.1,4,cosine,,20,5.0,failed,step 20: loss is not finite
3,0.0001,2,cosine,0.09,40,6.25,pruned,
4,0.001,4,cosine,0.02,100,25.0,complete,
"""


@pytest.fixture
def table(tmp_path: Path) -> Trials:
    (tmp_path / "trials.csv").write_text(ROWS)
    return Trials(tmp_path / "trials.csv", DRAW)


def test_the_figure_of_a_search_has_its_history_and_a_panel_for_each_key(table: Trials) -> None:
    drawn = search(table)
    history, *panels = drawn.axes
    assert [panel.get_xlabel() for panel in panels] == list(DRAW)
    (best,) = lines(history, "best so far")
    np.testing.assert_array_equal(best.get_xdata(), [0, 1, 4, 4])
    np.testing.assert_allclose(best.get_ydata(), [0.05, 0.01, 0.01, 0.01])
    assert [line.get_xdata()[0] for line in lines(history, "failed")] == [2]
    np.testing.assert_array_equal(lines(history, "pruned")[0].get_xdata(), [3])
    assert panels[0].get_xscale() == "log"
    np.testing.assert_allclose(lines(panels[0], "complete")[0].get_xdata(), [0.0012345678, 0.012345678, 0.001])
    assert [text.get_text() for text in panels[2].get_xticklabels()] == ["cosine", "plateau"]


def test_a_search_whose_trials_have_no_score_is_drawn_as_words(table: Trials) -> None:
    table.path.write_text(ROWS.splitlines()[0] + "\n" + ROWS.splitlines()[3] + "\n")
    assert not search(table).axes


def searched(table: Trials, tmp_path: Path, **changed) -> Page:
    (tmp_path / "best.yaml").write_text("ablations: {tuned-best: {}}\n")
    save(lambda: search(table), tmp_path / "search.svg")
    ablation = {"of": "vnet", "draw": table.draw, "search": {"fold": 1, "trials": 5}} | changed
    files = {"tuned": SearchFiles(table.path, tmp_path / "best.yaml", tmp_path / "search.svg")}
    return Page(render(Context([], {"ablations": {"tuned": ablation}}, {}, {}, {}, files)))


def test_the_page_tells_the_best_trial_and_how_to_train_it(table: Trials, tmp_path: Path) -> None:
    shown = searched(table, tmp_path)
    assert (
        "tuned, of vnet Of 5 trials (1 pruned, 1 failed), trial 1 has the best validation score: 0.0100 " in shown.text
    )
    assert "with optimizer.lr = 0.01235, model.width = 4, schedule = plateau." in shown.text
    assert "The best 3 of 3 complete trials." in shown.text and "tuned-best" in shown.text
    assert "only fold 1 is judged on samples that had no part in choosing them" in shown.text
    assert len(shown.all("img")) == 1


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_was_drawn_is_text(attack: str, table: Trials, tmp_path: Path) -> None:
    quoted = '"' + attack.replace('"', '""') + '"'
    table.path.write_text(ROWS.replace("plateau", quoted))
    shown = searched(table, tmp_path, of=attack)
    assert not {"script", "iframe", "object", "embed", "svg"} & {tag for tag, _ in shown.elements}
    assert " ".join(attack.split()) in shown.text


@pytest.mark.parametrize(
    "text, complaint", [("a,b\n1,2\n", "column 'number' is missing"), ("", "not a table of trials")]
)
def test_a_damaged_table_is_named(table: Trials, text: str, complaint: str) -> None:
    table.path.write_text(text)
    with pytest.raises(DataError, match=complaint) as caught:
        _ = table.best
    assert str(table.path) in str(caught.value)
