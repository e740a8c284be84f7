# Config, paths and params of all rules: the only file that spells a path.
import sys
from functools import cache
from pathlib import Path

HOME = Path(workflow.basedir).parent
sys.path.insert(0, str(HOME))

from m2m_core import config as m2m_config
from m2m_core import door, driver
from m2m_core.data.sources import inventory
from m2m_core.errors import M2MError
from m2m_core.files import check_folder
from m2m_core.provenance import fingerprint
from m2m_core.script import ERRORS, last_error, use_library
from m2m_core.stages import Stages, is_simulated

use_library(HOME)


def or_exit(stage, function, *arguments, **options):
    """What `function` returns; if it refuses, one line and the exit code of its error."""
    try:
        return function(*arguments, **options)
    except M2MError as error:
        print(f"{stage}: error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


CONFIG = or_exit(
    "config",
    m2m_config.load,
    workflow.overwrite_configfiles,
    default=HOME / "config" / "config.yaml",
    overrides=workflow.config_settings.config,
)
or_exit("results", check_folder, CONFIG.results)
or_exit("config", door.check, CONFIG)
STAGES = or_exit("config", Stages, CONFIG)
ENVIRONMENT = "../../envs/cpu.yaml"

RESULTS = CONFIG.results
DATASET = f"{RESULTS}/datasets/{{dataset}}"
EXPERIMENT = f"{RESULTS}/experiments/{{experiment}}"
FOLD = f"{EXPERIMENT}/fold-{{fold}}"
LOGS = f"{RESULTS}/logs"

SAMPLE_FILE = f"{DATASET}/fields/{{sample}}.h5"
CATALOGUE = f"{DATASET}/catalogue.csv"
MOMENTS = f"{DATASET}/moments/{{transform}}.csv"
STATISTICS = f"{FOLD}/statistics.json"
CROPS = f"{EXPERIMENT}/crops.npz"
MODEL = f"{FOLD}/model.safetensors"
RECORD = f"{FOLD}/training.json"
HISTORY = f"{FOLD}/history.csv"
TRAINING_STATE = f"{FOLD}/training"
PREDICTIONS = f"{FOLD}/predictions.h5"
EVALUATION = f"{FOLD}/evaluation.csv"
FIGURE = f"{EXPERIMENT}/figures/{{figure}}.svg"
ABLATION = f"{RESULTS}/ablations/{{ablation}}"
COMPARISON = f"{ABLATION}/comparison.svg"
TRIALS = f"{ABLATION}/trials.csv"
BEST = f"{ABLATION}/best.yaml"
SEARCH_STATE = f"{ABLATION}/search"
SEARCH_FIGURE = f"{ABLATION}/search.svg"
REPORT = f"{RESULTS}/report.html"
ERROR_LINES = f"{RESULTS}/{ERRORS}"
LOCKS = ".snakemake/locks"

if workflow.is_main_process and (killed := driver.forget_killed(RESULTS, LOCKS)):
    print(f"results: the locks of {killed}, which was killed, are removed", file=sys.stderr)


wildcard_constraints:
    dataset="[a-z0-9][a-z0-9_-]*",
    experiment="[a-z0-9][a-z0-9_-]*",
    ablation="[a-z0-9][a-z0-9_-]*",
    transform="[a-z0-9_]+",
    figure="[a-z0-9_]+",
    sample="[A-Za-z0-9][A-Za-z0-9._-]*",
    fold=r"\d+",


def experiment(wildcards):
    return CONFIG.experiments[wildcards.experiment]


def dataset_of(name):
    return CONFIG.experiments[name].dataset


def shared(path, stage):
    """An input made by `stage`, of the experiment that makes it for all that are equal so far."""
    return lambda w: path.format(**{**w, "experiment": STAGES.owner(w.experiment, stage)})


def of_dataset(path):
    """An input of the dataset that an experiment uses."""
    return lambda w: path.format(dataset=dataset_of(w.experiment))


def moments_of(wildcards):
    dataset = dataset_of(wildcards.experiment)
    return [MOMENTS.format(dataset=dataset, transform=t) for t in STAGES.transforms(wildcards.experiment)]


@cache
def files_of(name):
    """Everything that is known about an experiment when all its folds are evaluated."""
    return [
        described(name)["catalogue"],
        *(path for fold in described(name)["folds"].values() for path in fold.values()),
    ]


@cache
def described(name):
    """An experiment for the report: its settings and where its results are, those shared with others included."""
    stages = {EVALUATION: "evaluation", PREDICTIONS: "inference", HISTORY: "training", RECORD: "training"}
    folds = {
        fold: {
            Path(path).name: path.format(experiment=STAGES.owner(name, stage), fold=fold)
            for path, stage in stages.items()
        }
        for fold in STAGES.folds(name)
    }
    return {**STAGES.description(name), "folds": folds, "catalogue": CATALOGUE.format(dataset=dataset_of(name))}


@cache
def figures_of(name):
    return {figure: FIGURE.format(experiment=name, figure=figure) for figure in STAGES.figures(name)}


def base_of(ablation):
    return CONFIG.experiments[CONFIG.ablations[ablation].of]


def of_base(path, stage=None):
    """An input of a search: a file of its base, of the fold that is searched, or of its dataset."""

    def of(wildcards):
        chosen = CONFIG.ablations[wildcards.ablation]
        owner = STAGES.owner(chosen.of, stage) if stage else chosen.of
        return path.format(experiment=owner, fold=chosen.search.fold, dataset=dataset_of(chosen.of))

    return of


def searching(wildcards, threads):
    """As `running`, of the trials of a search."""
    settings = STAGES.searching(wildcards.ablation)
    return {**settings, "training": {**settings["training"], "threads": threads}}


def family_settings(wildcards):
    """An ablation for its figure: the base and what is made of it."""
    family = [described(name) for name in STAGES.family(wildcards.ablation)]
    return canonical({**STAGES.comparison(), "experiments": family})


SEARCHES = {
    name: {
        "trials": TRIALS.format(ablation=name),
        "best": BEST.format(ablation=name),
        "figure": SEARCH_FIGURE.format(ablation=name),
    }
    for name, ablation in CONFIG.ablations.items()
    if ablation.search
}
COMPARISONS = {name: COMPARISON.format(ablation=name) for name in CONFIG.ablations if name not in SEARCHES}


def samples_of(wildcards):
    """The files that a simulator makes; found files are no inputs, the catalogue's params hold their fingerprint."""
    dataset = CONFIG.datasets[wildcards.dataset]
    if not is_simulated(dataset):
        return []
    count = dataset.source["samples"]
    return [SAMPLE_FILE.format(dataset=wildcards.dataset, sample=f"{i:04d}") for i in range(count)]


def canonical(value):
    """Snakemake compares the text of a parameter, so the order of keys must not matter."""
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value)}
    return [canonical(item) for item in value] if isinstance(value, (list, tuple)) else value


def settings(stage):
    """What `stage` reads of the config, and the digest of the code it runs: a function of the wildcards alone."""
    return lambda wildcards: canonical(getattr(STAGES, stage)(**wildcards))


def catalogue_settings(wildcards):
    """The settings of a catalogue with the names, sizes and dates of the files that it will read."""
    dataset = CONFIG.datasets[wildcards.dataset]
    files = (
        None if is_simulated(dataset) else fingerprint(or_exit(f"data {wildcards.dataset}", inventory, dataset.source))
    )
    return canonical({**STAGES.catalogue(wildcards.dataset), "files": files})


def running(wildcards, threads):
    """What does not change a result: taking `threads` keeps a parameter from making anything stale."""
    settings = STAGES.running(wildcards.experiment)
    return {**settings, "training": {**settings["training"], "threads": threads}}


def verify_of(wildcards, threads):
    """As above."""
    return CONFIG.datasets[dataset_of(wildcards.experiment)].verify


def begin():
    or_exit("results", driver.own, RESULTS)
    Path(ERROR_LINES).unlink(missing_ok=True)


def say_where_the_report_is():
    if Path(REPORT).exists():
        print(f"The report is at {Path(REPORT).resolve()}", file=sys.stderr)


def exit_with_the_error_of_the_job():
    lines, code = last_error(ERROR_LINES)
    for line in lines:
        print(line, file=sys.stderr)
    if lines:
        sys.exit(code)
