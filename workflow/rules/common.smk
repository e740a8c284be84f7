# Config, paths and params of all rules: the only file that spells a path.
import gc
import inspect
import json
import subprocess
import sys
from functools import cache
from itertools import chain
from pathlib import Path

HOME = Path(workflow.basedir).parent
sys.path.insert(0, str(HOME))

from m2m_core import config as m2m_config
from m2m_core import door, driver
from m2m_core.archive.contents import Portable, code_digest
from m2m_core.data.sources import inventory
from m2m_core.errors import M2MError
from m2m_core.files import check_folder
from m2m_core.provenance import fingerprint
from m2m_core.script import ERRORS, last_error, use_library
from m2m_core.stages import Stages, is_simulated

use_library(HOME)
gc.set_threshold(100_000, 50, 50)  # a DAG is millions of objects that live to the end: seldom look for dead ones


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
EMULATOR = f"{FOLD}/emulator.pt2"
FIGURE = f"{EXPERIMENT}/figures/{{figure}}.svg"
REPORT = f"{RESULTS}/report.html"
ARCHIVE = f"{RESULTS}/archive.zip"
ARCHIVE_WITH_PREDICTIONS = f"{RESULTS}/archive-with-predictions.zip"
PARTIAL_REPORT = f"{RESULTS}/report-partial.html"
ERROR_LINES = f"{RESULTS}/{ERRORS}"
LOCKS = ".snakemake/locks"

if workflow.is_main_process and (killed := driver.forget_killed(RESULTS, LOCKS)):
    print(f"results: the locks of {killed}, which was killed, are removed", file=sys.stderr)


wildcard_constraints:
    dataset="[a-z0-9][a-z0-9_-]*",
    experiment="[a-z0-9][a-z0-9_-]*",
    transform="[a-z0-9_]+",
    figure="[a-z0-9_]+",
    sample="[A-Za-z0-9][A-Za-z0-9._-]*",
    fold=r"\d+",


PARTS = ("fold", "shard")  # of what has one setting: wildcards that make no difference to it
MADE_BY = {
    STATISTICS: "statistics",
    CROPS: "crops",
    MODEL: "training",
    RECORD: "training",
    HISTORY: "training",
    PREDICTIONS: "inference",
    EVALUATION: "evaluation",
}


def quick(function):
    """Snakemake asks for the signature of a function five times a job: it is told what is known."""
    function.__signature__ = inspect.signature(function)
    return function


def dataset_of(name):
    return CONFIG.experiments[name].dataset


@cache
def place(path, name):
    """Where an experiment finds a file: with its dataset, or with the experiment that makes it for all that are equal."""
    if path not in MADE_BY:
        return path.replace("{dataset}", dataset_of(name))
    return path.replace("{experiment}", STAGES.owner(name, MADE_BY[path]))


def of_experiment(**paths):
    """The named inputs of a rule that has the wildcard `experiment`, and perhaps `fold`."""

    @cache
    def patterns(name):
        return {key: place(path, name) for key, path in paths.items()}

    @quick
    def inputs(wildcards):
        fold = wildcards.get("fold", "")
        return {key: path.replace("{fold}", fold) for key, path in patterns(wildcards.experiment).items()}

    return inputs


@quick
def moments_of(wildcards):
    path = place(MOMENTS, wildcards.experiment)
    return [path.format(transform=transform) for transform in STAGES.transforms(wildcards.experiment)]


@cache
def results_of(name):
    """Everything that is known about an experiment when all its folds are evaluated."""
    known = described(name)
    return [known["catalogue"], *(path for fold in known["folds"].values() for path in fold.values())]


@quick
def files_of(wildcards):
    return results_of(wildcards.experiment)


def all_results(wildcards):
    """What the page shows, each file once."""
    each = ([*results_of(name), *figures_of(name).values()] for name in CONFIG.experiments)
    return list(dict.fromkeys(chain.from_iterable(each)))


@cache
def described(name):
    """An experiment for the report: its settings and where its results are, those shared with others included."""
    paths = {Path(path).name: place(path, name) for path in (EVALUATION, PREDICTIONS, HISTORY, RECORD)}
    folds = {
        fold: {file: path.replace("{fold}", str(fold)) for file, path in paths.items()} for fold in STAGES.folds(name)
    }
    return canonical({**STAGES.description(name), "folds": folds, "catalogue": place(CATALOGUE, name)})


@cache
def figures_of(name):
    return {figure: FIGURE.format(experiment=name, figure=figure) for figure in STAGES.figures(name)}


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

    @cache
    def of(*names):
        return canonical(getattr(STAGES, stage)(*names))

    return quick(lambda wildcards: of(*(name for key, name in wildcards.items() if key not in PARTS)))


@cache
def drawing(figure):
    return canonical(STAGES.figure(figure))


@quick
def figure_settings(wildcards):
    return {"experiment": described(wildcards.experiment), **drawing(wildcards.figure)}


def report_settings(wildcards):
    """The whole config once, and what it does not say of each experiment."""
    experiments = [
        {key: value for key, value in described(name).items() if key != "config"} for name in CONFIG.experiments
    ]
    return canonical({**STAGES.report(), "experiments": experiments})


def figures_of_all(wildcards):
    return {name: figures_of(name) for name in CONFIG.experiments}


def kept(*more):
    """What an archive has of the results, each after what it is made of."""
    made = (STATISTICS, CROPS, MODEL, RECORD, HISTORY, *more, EVALUATION)
    paths = [place(CATALOGUE, name) for name in CONFIG.experiments]
    for name in CONFIG.experiments:
        paths += [place(MOMENTS, name).format(transform=transform) for transform in STAGES.transforms(name)]
    for name in CONFIG.experiments:
        folds = map(str, STAGES.folds(name))
        paths += [place(path, name).replace("{fold}", fold) for fold in folds for path in made]
    figures = [path for name in CONFIG.experiments for path in figures_of(name).values()]
    return list(dict.fromkeys([*paths, *figures, REPORT]))


def archive_settings(wildcards):
    """The config and what made the report; the digest of all code that goes into the archive, comments included."""
    portable = Portable(RESULTS, CONFIG.plugins)
    page = {"settings": report_settings(wildcards), "figures": figures_of_all(wildcards), "path": REPORT}
    known = {
        "results": RESULTS,
        "plugins": CONFIG.plugins,
        "report": page,
        "code": code_digest(portable.plugin_files()),
    }
    return canonical({**known, "config": portable.config(CONFIG.model_dump(), CONFIG.variants)})


def catalogue_settings(wildcards):
    """The settings of a catalogue with the names, sizes and dates of the files that it will read."""
    dataset = CONFIG.datasets[wildcards.dataset]
    files = (
        None if is_simulated(dataset) else fingerprint(or_exit(f"data {wildcards.dataset}", inventory, dataset.source))
    )
    return canonical({**STAGES.catalogue(wildcards.dataset), "files": files})


@quick
def training_threads(wildcards):
    training = CONFIG.experiments[wildcards.experiment].training
    return training.threads or 8 * training.gpus


@quick
def gpus_of(wildcards):
    """GPUs on each node."""
    training = CONFIG.experiments[wildcards.experiment].training
    return 0 if training.device == "cpu" else training.gpus


@quick
def nodes_of(wildcards):
    return CONFIG.experiments[wildcards.experiment].training.nodes


@quick
def running(wildcards, threads):
    """What does not change a result: taking `threads` keeps a parameter from making anything stale."""
    settings = STAGES.running(wildcards.experiment)
    return {**settings, "training": {**settings["training"], "threads": threads}}


@quick
def verify_of(wildcards, threads):
    """As above."""
    return CONFIG.datasets[dataset_of(wildcards.experiment)].verify


def begin():
    or_exit("results", driver.own, RESULTS)
    run = getattr(getattr(workflow.scheduler, "_executor", None), "run_uuid", None)  # that of the Slurm executor
    for line in driver.take_over(RESULTS, run):
        print(f"results: {line}", file=sys.stderr)
    for path in (ERROR_LINES, PARTIAL_REPORT):
        Path(path).unlink(missing_ok=True)


def say_where_the_report_is():
    if Path(REPORT).exists():
        print(f"The report is at {Path(REPORT).resolve()}", file=sys.stderr)


def without_what_is_stale(described):
    """An experiment with those of its folds alone that this run made or found up to date."""
    stale = {path for job in workflow.dag.needrun_jobs() if not workflow.dag.finished(job) for path in job.output}
    folds = {fold: {} if stale & set(files.values()) else files for fold, files in described["folds"].items()}
    return {**described, "folds": folds}


def report_what_is_there():
    """Of the folds that did not fail, in a process of its own: it may be that this one cannot draw."""
    settings = {**STAGES.report(), "experiments": [without_what_is_stale(described(e)) for e in CONFIG.experiments]}
    figures = {name: list(figures_of(name)) for name in CONFIG.experiments}
    asked = {"settings": settings, "figures": figures, "path": PARTIAL_REPORT}
    command = [sys.executable, "-m", "m2m_core.report.partial"]
    if not subprocess.run(command, input=json.dumps(asked), text=True, capture_output=True).returncode:
        print(f"A report of what is there is at {Path(PARTIAL_REPORT).resolve()}", file=sys.stderr)


def exit_with_the_error_of_the_job():
    report_what_is_there()
    lines, code = last_error(ERROR_LINES)
    for line in lines:
        print(line, file=sys.stderr)
    if lines:
        sys.exit(code)
