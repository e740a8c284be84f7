"""A results tree of labels as the workflow leaves it: answers that are right by chance, as often as asked for."""

import json
from pathlib import Path

import numpy as np
from synthetic import history, training

from m2m_core.data import predictions
from m2m_core.data.catalogue import Catalogue, Part, Sample
from m2m_core.metrics import table
from m2m_core.metrics.answers import Answers
from m2m_core.report.results import ExperimentResults

SLICES = 24
MESH = 16


def tree(
    root: Path,
    *,
    classes: int | None = 2,
    names: tuple[str, ...] = ("gr",),
    quality: float = 2.0,
    samples: int = 24,
    folds: int = 3,
    slices: int = SLICES,
    redshifts: tuple[float, ...] = (1.0,),
    missing: tuple[int, ...] = (),
    saliency: bool = True,
) -> ExperimentResults:
    """Catalogue, evaluations and predictions; `quality` is how far answers are from chance, the baseline's is half."""
    rng = np.random.default_rng(1)
    found = [_sample(n, n % folds, names, classes, redshifts[n % len(redshifts)], rng) for n in range(samples)]
    catalogue = Catalogue(tuple(found))
    root.mkdir(parents=True, exist_ok=True)
    catalogue.write(root / "catalogue.csv")
    truths = np.array([[s.parameters[name] for name in names] for s in found])
    answers = Answers.learnt_from(names, _kind(classes), classes, truths)
    folders: dict[int, Path | None] = {}
    for k in range(folds):
        folders[k] = None if k in missing else root / f"fold-{k}"
        if k not in missing:
            _fold(folders[k], k, catalogue.held_out(k), answers, rng, quality, slices, saliency and k == 0)
    config = {"dataset": "gravity", "model": {"name": "racoon"}, "task": {"name": "field_to_label"}}
    return ExperimentResults("racoon", "racoon", None, config, folders, root / "catalogue.csv")


def _kind(classes):
    return "regression" if classes is None else "binary" if classes == 2 else "classes"


def _sample(n, fold, names, classes, redshift, rng):
    values = rng.uniform(0.1, 0.5, len(names)) if classes is None else [n // 3 % classes]
    part = Part(f"{n}.h5", "data", (1, MESH, MESH, MESH), "<f4", 1, f"{n:064d}", "scalar", 0)
    numbers = dict(zip(names, map(float, values), strict=True))
    return Sample(f"s{n}", f"s{n}", fold, {"input": (part,)}, (100.0,) * 3, redshift, 0.3, True, numbers)


def outputs(answers, truth, rng, quality, slices):
    """What a network might return for the slices of one sample, (slices, outputs); the sample has luck of its own."""
    target = answers.target(truth)
    luck = rng.normal(size=answers.outputs)
    noise = rng.normal(size=(slices, answers.outputs))
    if answers.classes is None:
        means = target + 0.3 / quality * (luck[: len(target)] + noise[:, : len(target)])
        return np.hstack([means, np.full(means.shape, np.log(2 * (0.3 / quality) ** 2))])
    sign = 2 * target - 1 if answers.classes == 2 else 2 * target
    return quality * (0.5 * sign + 0.5 * luck + noise)


def _fold(folder, k, held_out, answers, rng, quality, slices, saliency):
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with predictions.create(folder / "predictions.h5", {"model": "m"}) as file:
        for sample in held_out:
            truth = np.array([sample.parameters[name] for name in answers.names])
            for source, factor in (("emulator", 1.0), ("power_spectrum_baseline", 0.5)):
                told = answers.told(outputs(answers, truth, rng, quality * factor, slices))
                rows += [(sample.id, source, *row) for row in answers.rows(told, truth)]
            values = np.zeros((3, slices), "f4")
            predictions.add(file, sample.id, values.shape, [((slice(None), slice(None)), values)], {}, "lzf")
        if saliency:
            predictions.add_beside(file, held_out[0].id, _saliency(rng), "lzf")
    table.write(folder / "evaluation.csv", rows)
    history(folder / "history.csv", k, 1.0, rows=24)
    (folder / "training.json").write_text(json.dumps(training(k) | {"best_score": 0.3}))


def _saliency(rng):
    images = rng.standard_normal((3, MESH, MESH)).cumsum(1).astype("f4")
    yield "places", np.array([[axis, 8] for axis in range(3)], "f4")
    yield "inputs", images
    yield "maps", np.abs(rng.standard_normal((3, MESH, MESH))).astype("f4")
    yield "cube", np.abs(rng.standard_normal((MESH,) * 3)).astype("f4")
