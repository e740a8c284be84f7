"""A results tree as the workflow leaves it, made in a second: random fields, an emulator that is truth plus noise."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from m2m_core import registry
from m2m_core.data.catalogue import Catalogue, Part, Sample
from m2m_core.files import digest
from m2m_core.metrics.comparison import Comparison
from m2m_core.metrics.draws import compare_draws
from m2m_core.report.results import ExperimentResults

BOX = 100.0  # [Mpc/h]
METRICS = ("power_spectrum", "cross_correlation", "mean_square_error", "one_point")
NOISE = {"emulator": 0.15, "2lpt": 0.45, "input": 1.0}  # of the part that the input lacks


def tree(
    root: Path,
    *,
    name: str = "vnet",
    label: str = "vnet",
    base: str | None = None,
    config: dict | None = None,
    samples: int = 6,
    folds: int = 3,
    mesh: int = 16,
    dims: int = 3,
    quantity: str = "displacement",
    baselines: Sequence[str] = ("2lpt",),
    missing: Sequence[int] = (),
    names: Sequence[str] | None = None,
    quality: float = 1.0,
    judge_input: bool = True,
    seed: int = 1,
    ablation: str | None = None,
    score: float | None = None,
) -> ExperimentResults:
    """Write catalogue, fields and all files of every fold but `missing`; `quality` scales the emulator's noise.

    `score`, where given, is about the best validation score of each fold.
    """
    names = list(names or (f"box-{n:02d}" for n in range(samples)))
    rng = np.random.default_rng(seed)
    found, arrays = [], {}
    for n, sample in enumerate(names):
        arrays[sample] = fields(rng, mesh, dims, quantity, ["input", "target", *baselines])
        arrays[sample]["emulator"] = emulated(rng, arrays[sample], quality)
        found.append(_sample(root / "datasets" / "nbody" / "fields", sample, n, n % folds, arrays[sample], quantity))
    catalogue = Catalogue(tuple(found))
    path = root / "datasets" / "nbody" / "catalogue.csv"
    catalogue.write(path)
    folders: dict[int, Path | None] = {}
    for k in range(folds):
        folders[k] = None if k in missing else root / "experiments" / name / f"fold-{k}"
        if k not in missing:
            sources = ["emulator", *(["input"] if judge_input else []), *baselines]
            _fold(folders[k], k, catalogue.held_out(k), arrays, sources, quantity, quality)
            best = {} if score is None else {"best_score": score * (1 + 0.04 * (k - 1))}
            (folders[k] / "training.json").write_text(json.dumps(training(k) | best))
    config = {"dataset": "nbody", "model": {"name": "vnet", "width": 8}, "loss": {"name": "mse"}} | (config or {})
    return ExperimentResults(name, label, base, config, folders, path, ablation)


def fields(
    rng: np.random.Generator, mesh: int, dims: int, quantity: str, names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Large scales that the input has, and small ones that it lacks in part; (C, *space) float32."""
    channels = dims if quantity == "displacement" else 1
    large, small = (gaussian(rng, mesh, dims, channels, slope) for slope in (2.2, 1.0))
    strength = 4.0 if quantity == "displacement" else 1.0
    truth = strength * (large + 0.25 * small)
    parts = {"target": truth, "input": strength * large}
    for name in names:
        parts.setdefault(name, truth - NOISE.get(name, 0.6) * strength * 0.25 * small * (1 + 0.2 * large))
    return {name: parts[name].astype("f4") for name in names}


def emulated(rng: np.random.Generator, arrays: dict[str, np.ndarray], quality: float) -> np.ndarray:
    lack = arrays["target"] - arrays["input"]
    noise = gaussian(rng, lack.shape[1], lack.ndim - 1, len(lack), 0.5) * lack.std()
    return (arrays["target"] - 0.1 * quality * lack + NOISE["emulator"] * quality * noise).astype("f4")


def gaussian(rng: np.random.Generator, mesh: int, dims: int, channels: int, slope: float) -> np.ndarray:
    """A random field of unit variance with amplitudes k^-slope, (channels, *space)."""
    k = np.sqrt(sum(n**2 for n in np.meshgrid(*[np.fft.fftfreq(mesh, 1 / mesh)] * dims, indexing="ij")))
    amplitude = np.where(k > 0, np.maximum(k, 1) ** -slope * np.exp(-((k / (0.45 * mesh)) ** 2)), 0)
    white = rng.standard_normal((channels, *[mesh] * dims))
    axes = tuple(range(1, dims + 1))
    field = np.fft.ifftn(np.fft.fftn(white, axes=axes) * amplitude, axes=axes).real
    return field / field.std()


def _sample(folder: Path, name: str, n: int, fold: int, arrays: dict[str, np.ndarray], quantity: str) -> Sample:
    folder.mkdir(parents=True, exist_ok=True)
    parts = {}
    for field, values in arrays.items():
        if field != "emulator":
            file = folder / f"{n}-{field}.npy"
            np.save(file, values)
            size = file.stat().st_size
            parts[field] = (Part(str(file), "", values.shape, "<f4", size, digest(file), quantity, 0),)
    return Sample(name, name, fold, parts, (BOX,) * (values.ndim - 1), 0.0, 0.31, True)


def _fold(
    folder: Path, k: int, held: list[Sample], arrays: dict, sources: list[str], quantity: str, quality: float
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    unit = "Mpc/h" if quantity == "displacement" else ""
    with h5py.File(folder / "predictions.h5", "w", libver="latest") as file:
        for sample in held:
            values = file.create_dataset(sample.id, data=arrays[sample.id]["emulator"], chunks=True, fletcher32=True)
            values.attrs.update({"box_size": sample.box_size, "unit": unit, "quantity": quantity})
    rows = [
        row for sample in held for source in sources for row in _judged(sample, source, arrays[sample.id], quantity)
    ]
    rows += [row for sample in held for row in _drawn(sample, arrays[sample.id], quantity)]
    evaluation(folder / "evaluation.csv", rows)
    history(folder / "history.csv", k, quality)
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "statistics.json").write_text("{}")


def evaluation(path: Path, rows: Sequence[tuple]) -> None:
    """rows: sample, source, field, metric, x ("" for scalars), value."""
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("sample", "source", "field", "metric", "x", "value"))
        writer.writerows(rows)


def _judged(sample: Sample, source: str, arrays: dict[str, np.ndarray], quantity: str) -> list[tuple]:
    pair = arrays[source], arrays["target"]
    name = "displacement" if quantity == "displacement" else "temperature"
    comparisons = [Comparison(*pair, sample.box_size, name)]
    if quantity == "displacement":
        comparisons.append(Comparison.of_displacement(*pair, sample.box_size))
    return [
        (sample.id, source, c.field, metric, "" if x is None else repr(float(x)), repr(float(value)))
        for c in comparisons
        for chosen in METRICS
        for metric, x, value in registry.load("metric", chosen)(c, **registry.check("metric", chosen, {}))
    ]


def _drawn(sample: Sample, arrays: dict[str, np.ndarray], quantity: str, count: int = 4) -> list[tuple]:
    """What the emulator's predictions would say if noise as large as half of its error were drawn anew."""
    rng, lack = np.random.default_rng(int(sample.fold)), arrays["target"] - arrays["emulator"]
    noise = (gaussian(rng, lack.shape[1], lack.ndim - 1, len(lack), 0.5) for _ in range(count))
    draws = [(arrays["emulator"] + 0.5 * lack.std() * field).astype("f4") for field in noise]
    around = (True,) * (lack.ndim - 1)
    parts = [("displacement", len(lack))] if quantity == "displacement" else [("temperature", len(lack))]
    rows = compare_draws(draws, arrays["target"], sample.box_size, around, parts)
    return [
        (sample.id, "emulator", field, metric, "" if x is None else repr(x), repr(value))
        for field, metric, x, value in rows
    ]


def history(path: Path, k: int, quality: float, rows: int = 240) -> None:
    """A loss that falls with noise, a validation every twelfth row, a cosine schedule."""
    rng = np.random.default_rng(k)
    with open(path, "w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow("step,epoch,loss,validation,lr,samples_per_second,seconds,attempt".split(","))
        for n in range(rows):
            floor = (0.01 + 0.001 * k) * quality + 0.5 * np.exp(-n / (rows / (8 + k)))
            loss = floor * np.exp(0.12 * rng.standard_normal())
            validation = repr(float(1.15 * floor * np.exp(0.05 * rng.standard_normal()))) if n % 12 == 11 else ""
            lr = 1e-3 * 0.5 * (1 + np.cos(np.pi * n / rows))
            writer.writerow((10 * (n + 1), n // 8, repr(float(loss)), validation, repr(float(lr)), 150.0, 0.4 * n, 1))


def training(k: int) -> dict:
    return {
        "identity": f"{0xA1B2C3D4 + k:016x}",
        "code": "5f0c2d9e8b7a6c1d",
        "config": {"lr": 0.001},
        "versions": {"python": "3.11.9", "torch": "2.10.0", "numpy": "2.4.6"},
        "hardware": "cpu, 2 threads",
        "seed": 0,
        "steps": 2400,
        "seconds": 93.25 + k,
        "attempts": 1,
        "environment": {"TOKEN": "do-not-show"},
    }
