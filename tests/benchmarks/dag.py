"""What our rules cost Snakemake over bare ones with the same files: `python -m tests.benchmarks.dag`.

A dry run of about ten thousand jobs, an ablation in ten folds, of our workflow and of one without params, scripts,
functions or checks. Both schedulers have a process of their own, so that its CPU time and memory can be told.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import yaml

__all__ = ["main"]

TOP = Path(__file__).parents[2]
VARIANTS, FOLDS, SAMPLES, REPEATS = 270, 10, 20, 3
FIGURES = ("correlation", "learning", "one_point", "power", "slices", "transfer")
CONFIG = {
    "datasets": {"boxes": {"source": {"kind": "nbody", "samples": SAMPLES, "mesh": 32}, "folds": {"count": FOLDS}}},
    "experiments": {"base": {"dataset": "boxes", "crops": {"size": 32}, "model": "vnet"}},
    "ablations": {"lr": {"of": "base", "vary": {"optimizer.lr": [1.0e-7 * n for n in range(1, VARIANTS)]}}},
}
BARE = """
NAMES = [f"v{{n}}" for n in range({variants})]
FOLDS, FIGURES = range({folds}), {figures!r}
D, E = "results/datasets/boxes", "results/experiments/{{experiment}}"
F = E + "/fold-{{fold}}"
BASE = "results/experiments/v0"
FILES = ["evaluation.csv", "predictions.h5", "history.csv", "training.json"]

rule all:
    input: "results/report.html"

rule simulation:
    output: D + "/fields/{{sample}}.h5"
    shell: "touch {{output}}"

rule catalogue:
    input: [D + f"/fields/{{n:04d}}.h5" for n in range({samples})]
    output: D + "/catalogue.csv"
    shell: "touch {{output}}"

rule moments:
    input: D + "/catalogue.csv"
    output: D + "/moments/identity.csv"
    shell: "touch {{output}}"

rule statistics:
    input: D + "/catalogue.csv", D + "/moments/identity.csv"
    output: F + "/statistics.json"
    shell: "touch {{output}}"

rule crops:
    input: D + "/catalogue.csv"
    output: E + "/crops.npz"
    shell: "touch {{output}}"

rule training:
    input: D + "/catalogue.csv", BASE + "/fold-{{fold}}/statistics.json", BASE + "/crops.npz"
    output: F + "/model.safetensors", F + "/training.json", F + "/history.csv"
    shell: "touch {{output}}"

rule inference:
    input: D + "/catalogue.csv", BASE + "/fold-{{fold}}/statistics.json", BASE + "/crops.npz",
        F + "/model.safetensors", F + "/training.json"
    output: F + "/predictions.h5"
    shell: "touch {{output}}"

rule evaluation:
    input: D + "/catalogue.csv", BASE + "/fold-{{fold}}/statistics.json", BASE + "/crops.npz",
        F + "/training.json", F + "/predictions.h5"
    output: F + "/evaluation.csv"
    shell: "touch {{output}}"

rule figure:
    input: D + "/catalogue.csv", expand(E + "/fold-{{fold}}/{{file}}", fold=FOLDS, file=FILES, allow_missing=True)
    output: E + "/figures/{{figure}}.svg"
    shell: "touch {{output}}"

rule report:
    input: D + "/catalogue.csv",
        expand(F + "/{{file}}", experiment=NAMES, fold=FOLDS, file=FILES),
        expand(E + "/figures/{{figure}}.svg", experiment=NAMES, figure=FIGURES)
    output: "results/report.html"
    shell: "touch {{output}}"
"""


class Cost(NamedTuple):
    """Of one process and its children."""

    cpu: float  # [s]
    wall: float  # [s]
    memory: float  # largest resident set [MB]
    jobs: int


def main() -> None:
    """Print CPU time, wall time, memory and jobs of both dry runs, in turn, and the ratio of CPU times."""
    with tempfile.TemporaryDirectory() as folder:
        ours, bare = _ours(Path(folder) / "ours"), _bare(Path(folder) / "bare")
        pairs = [(_dry_run(*ours), _dry_run(*bare)) for _ in range(REPEATS)]
    for name, side in (("ours", 0), ("bare", 1)):
        cpu, wall, memory, jobs = (statistics.median(pair[side][i] for pair in pairs) for i in range(4))
        print(f"{name}: {jobs} jobs, {cpu:.1f} s of CPU, {wall:.1f} s, {memory:.0f} MB")
    print(f"ratio {statistics.median(a.cpu / b.cpu for a, b in pairs):.3f}")


def _ours(folder: Path) -> tuple[Path, list[str]]:
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder, ["-s", str(TOP / "workflow/Snakefile"), "--configfile", "config.yaml"]


def _bare(folder: Path) -> tuple[Path, list[str]]:
    folder.mkdir()
    text = BARE.format(variants=VARIANTS, folds=FOLDS, samples=SAMPLES, figures=FIGURES)
    (folder / "Snakefile").write_text(text)
    return folder, []


def _dry_run(folder: Path, arguments: list[str]) -> Cost:
    command = [sys.executable, "-m", "snakemake", "-n", "--cores", "2", "--quiet", "rules", *arguments]
    start = os.times().elapsed
    with open(folder / "output", "w") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    said = (folder / "output").read_text()
    if status:
        raise RuntimeError(said[-2000:])
    jobs = int(said.split("\ntotal ")[1].split()[0])
    return Cost(usage.ru_utime + usage.ru_stime, os.times().elapsed - start, usage.ru_maxrss / 1024, jobs)


if __name__ == "__main__":
    main()
