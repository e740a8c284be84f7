"""The page: says what was measured and what is missing, needs nothing, runs nothing, and trusts no name."""

import base64
import csv
import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import synthetic

from m2m_core import registry
from m2m_core.data.catalogue import Catalogue, Part, Sample
from m2m_core.errors import ConfigError, DataError
from m2m_core.report.context import Context
from m2m_core.report.draw import draw
from m2m_core.report.page import ORDER, render, write
from m2m_core.report.results import ExperimentResults

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</style><script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    r"$\input{/etc/passwd}$",
    "javascript:alert(1)",
]
VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """Elements with their attributes, and the text, of a page whose tags all match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def context(*experiments: ExperimentResults, config: dict | None = None, provenance: dict | None = None) -> Context:
    return Context(experiments, config or {}, provenance or {}, {})


def page(*experiments: ExperimentResults, **given: dict) -> Page:
    return Page(render(context(*experiments, **given)))


@pytest.fixture(scope="module")
def drawn(results: ExperimentResults, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    folder = tmp_path_factory.mktemp("figures")
    for name in registry.entries("figure"):
        draw(name, results, folder / f"{name}.svg")
    return {(results.name, name): folder / f"{name}.svg" for name in registry.entries("figure")}


# ---- what it says


def test_the_headline_is_the_root_mean_square_of_the_fields_themselves(results: ExperimentResults) -> None:
    folds = {source: [] for source in ("emulator", "input", "2lpt")}
    better = 0
    for k in results.folds:
        errors = {source: [] for source in folds}
        for sample in results.catalogue.held_out(k):
            fields = {name: np.load(parts[0].file).astype(float) for name, parts in sample.fields.items()}
            fields["emulator"] = results.prediction(k, sample.id).astype(float)
            for source, values in errors.items():
                values.append(np.sqrt(np.mean((fields[source] - fields["target"]) ** 2)))
            better += errors["emulator"][-1] < min(errors["input"][-1], errors["2lpt"][-1])
        for source, values in errors.items():
            folds[source].append(np.mean(values))
    own, before, lpt = (f"{np.mean(folds[source]):#.3g}".rstrip(".") for source in folds)
    sentence = (
        f"The emulator’s displacement error is {own} Mpc/h, against {before} (input) and {lpt} (2LPT); "
        f"it beats both on {better} of 6 held-out samples."
    )
    assert sentence in page(results).text
    assert f"{np.mean(folds['emulator']):.3f} ± {np.std(folds['emulator'], ddof=1):.3f}" in page(results).text


def test_a_missing_fold_is_named_wherever_numbers_stand_and_never_ranked(tmp_path: Path) -> None:
    whole = synthetic.tree(tmp_path, mesh=8, quality=2.0)
    partial = synthetic.tree(tmp_path, name="better", label="better", mesh=8, quality=0.5, missing=(1,))
    shown = page(whole, partial)
    assert "better: fold 1 is missing (3 expected); its numbers are of folds 0 and 2 alone" in shown.text
    assert "Fold 1 is missing: 2 held-out samples were not judged." in shown.text
    assert "5 of 6 folds evaluated" in shown.text
    table = re.search(r"<table>.*?</table>", render(context(whole, partial)), re.S).group()
    rows = {row.split("<")[0]: row for row in re.findall(r'<td class="w[^>]*>(.*?)</tr>', table)}
    assert "2 of 3" in rows["better"] and "<strong>" not in rows["better"]
    assert rows["vnet"].count("<strong>") >= 3
    assert sorted(rows) == ["2LPT", "better", "input", "vnet"]  # baselines once, of all folds


def test_a_folder_without_an_evaluation_is_a_missing_fold(tmp_path: Path) -> None:
    broken = synthetic.tree(tmp_path, mesh=8)
    (broken.folds[2] / "evaluation.csv").unlink()
    assert "fold 2 is missing" in page(dataclasses.replace(broken)).text


def test_an_experiment_without_any_result_has_a_page(tmp_path: Path) -> None:
    nothing = synthetic.tree(tmp_path, mesh=8, samples=3, missing=(0, 1, 2))
    assert "folds 0, 1 and 2 are missing (3 expected); it has no numbers." in page(nothing).text


def test_without_baselines_nothing_is_claimed(tmp_path: Path) -> None:
    shown = page(synthetic.tree(tmp_path, mesh=8, baselines=(), judge_input=False))
    assert "no baseline was judged" in shown.text and "beats" not in shown.text


def test_a_scalar_field_has_no_density(tmp_path: Path) -> None:
    shown = page(synthetic.tree(tmp_path, mesh=8, quantity="scalar", baselines=()))
    assert "emulator’s temperature error" in shown.text
    assert "density" not in shown.text.lower()


def test_ablations_show_the_keys_that_differ(tmp_path: Path) -> None:
    base = synthetic.tree(tmp_path, mesh=8)
    wide = {"model": {"name": "vnet", "width": 16}}
    variant = synthetic.tree(tmp_path, name="width-16", label="model.width = 16", base="vnet", config=wide, mesh=8)
    text = page(base, variant).text
    assert "Variants of vnet" in text and "model.width folds" in text and "loss.name" not in text


def test_data_are_described_with_units(results: ExperimentResults) -> None:
    text = page(results).text
    assert "6 samples of 16³ cells, edge 100 Mpc/h, periodic, redshift 0, Ωₘ = 0.31." in text
    assert "displacement [Mpc/h] 3 16³ float32" in text and "0 4 2 1 4 2 2 4 2" in text


def test_data_warnings_are_repeated(results: ExperimentResults) -> None:
    sample = results.catalogue.samples[0]
    bad = dataclasses.replace(sample.fields["target"][0], nonfinite=7, digest="x")
    odd = dataclasses.replace(sample, fields={**sample.fields, "target": (bad,)})
    strange = dataclasses.replace(results)
    strange.__dict__["catalogue"] = Catalogue((odd, *results.catalogue.samples[1:]))
    assert f"7 values are not finite, in {sample.id}." in page(strange).text


def test_sections_are_those_of_the_config_in_its_order(results: ExperimentResults) -> None:
    chosen = {"report": {"title": "T & co", "sections": [{"name": "data"}, {"name": "samples", "rows": 2}, "summary"]}}
    shown = page(results, config=chosen)
    assert [line["href"] for line in shown.all("a")] == ["#s1", "#s2", "#s3"]
    assert shown.text.index("Held-out samples") < shown.text.index("Summary")
    assert "The 2 worst of 6 samples." in shown.text and "T & co" in shown.text
    with pytest.raises(ConfigError, match="report.sections"):
        page(results, config={"report": {"sections": [{"name": "samples", "row": 2}]}})


def test_every_registered_section_is_on_the_page_by_default() -> None:
    assert sorted(ORDER) == sorted(registry.entries("section"))


def test_provenance_is_known_keys_alone(results: ExperimentResults, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2hunter2")
    given = {"versions": {"torch": "2.10.0"}, "environment": {"TOKEN": "do-not-show"}, "code": "5f0c2d9e8b7a6c1d"}
    html = render(context(results, provenance=given, config={"results": "results"}))
    assert "do-not-show" not in html and "hunter2" not in html
    assert "torch 2.10.0" in html and "5f0c2d9e8b7a6c1d" in html and "93.2" in html and "results: results" in html


# ---- what it is


def test_the_page_is_one_file_that_asks_nobody(
    results: ExperimentResults, drawn: dict[tuple[str, str], Path], tmp_path: Path
) -> None:
    write(tmp_path / "report.html", [results], {"dataset": "nbody"}, {}, drawn)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    shown = Page(html)
    assert POLICY in [meta.get("content") for meta in shown.all("meta")]
    links = [value for _, attributes in shown.elements for key, value in attributes.items() if key in ("src", "href")]
    assert len(links) > len(drawn)
    assert all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"https?://|@import|url\(", html)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_every_figure_is_inside_with_a_text_in_its_place(
    results: ExperimentResults, drawn: dict[tuple[str, str], Path]
) -> None:
    shown = Page(render(Context([results], {}, {}, drawn)))
    images = {base64.b64decode(image["src"].partition(",")[2]) for image in shown.all("img")}
    assert images == {path.read_bytes() for path in drawn.values()}
    assert all(len(image["alt"]) > 30 for image in shown.all("img"))


def test_bytes_repeat(results: ExperimentResults, drawn: dict[tuple[str, str], Path]) -> None:
    again = dataclasses.replace(results)
    assert render(Context([results], {}, {}, drawn)) == render(Context([again], {}, {}, drawn))


def rows_of(path: Path) -> list[list[str]]:
    with open(path, newline="") as stream:
        return list(csv.reader(stream))[1:]


@pytest.mark.parametrize("attack", ATTACKS)
def test_names_from_outside_are_text(attack: str, tmp_path: Path) -> None:
    tree = synthetic.tree(tmp_path, mesh=8, samples=3, folds=3, baselines=(), names=[attack + c for c in "abc"])
    (tmp_path / "evil.svg").write_text(f"<svg>{attack}</svg>")
    evil = dataclasses.replace(tree, label=attack, base=attack, config={"dataset": attack, attack: {attack: [attack]}})
    more = [(attack + "a", attack, "displacement", "rmse", "", 0.5), (attack + "a", "emulator", attack, attack, "", 1)]
    synthetic.evaluation(evil.folds[0] / "evaluation.csv", [*rows_of(evil.folds[0] / "evaluation.csv"), *more])
    figures = {(evil.name, name): tmp_path / "evil.svg" for name in registry.entries("figure")}
    config = {"report": {"title": attack}, attack: attack}
    shown = Page(render(Context([evil], config, {"versions": {attack: attack}, "code": attack}, figures)))
    assert not {"script", "iframe", "object", "embed", "svg", "base", "form"} & {tag for tag, _ in shown.elements}
    keys = {key for _, attributes in shown.elements for key in attributes}
    assert not [key for key in keys if key.startswith("on") or key in ("srcdoc", "style")]
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in shown.all("img"))
    assert all(link["href"].startswith("#s") for link in shown.all("a"))
    assert " ".join(attack.split()) in shown.text


def test_control_characters_do_not_reach_the_page(results: ExperimentResults) -> None:
    html = render(context(dataclasses.replace(results, label="a\x1b[2J\u202eb\x00")))
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", html)


def flat_sample(n: int) -> Sample:
    parts = {
        field: (Part("f", "", (1, 8, 8), "<f4", 384, f"{field}{n}", "scalar", 0),) for field in ("input", "target")
    }
    return Sample(f"s{n}", f"s{n}", n % 2, parts, (1.0, 1.0), 0.0, 0.3, True)


def test_ten_thousand_samples_with_fifty_metrics_stay_small(tmp_path: Path) -> None:
    catalogue = Catalogue(tuple(flat_sample(n) for n in range(10_000)))
    catalogue.write(tmp_path / "catalogue.csv")
    rng, folds = np.random.default_rng(0), {k: tmp_path / f"fold-{k}" for k in (0, 1)}
    for k, folder in folds.items():
        folder.mkdir()
        values = [(sample.id, row) for sample, row in zip(catalogue.held_out(k), rng.random((5000, 50)), strict=True)]
        rows = [(name, "emulator", "field", f"metric_{m}", "", v) for name, row in values for m, v in enumerate(row)]
        synthetic.evaluation(folder / "evaluation.csv", rows)
    large = ExperimentResults("large", "large", None, {}, folds, tmp_path / "catalogue.csv")
    html = render(context(large))
    assert len(html.encode()) < 5_000_000
    assert "The 200 worst of 10000 samples." in html
    assert html.count("<tr") < 300


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sample,source\na,b\n", "column 'field' is missing"),
        ("sample,source,field,metric,x,value\na,emulator,f,rmse,,much\n", "column 'value'"),
        ("", "not a CSV table"),
    ],
)
def test_a_damaged_evaluation_is_named(text: str, complaint: str, tmp_path: Path) -> None:
    broken = synthetic.tree(tmp_path, mesh=8, samples=2, folds=2)
    file = broken.folds[1] / "evaluation.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=complaint) as caught:
        render(context(dataclasses.replace(broken)))
    assert str(file) in str(caught.value) and "\n" not in str(caught.value)
