# Config, paths and params of all rules: the only file that spells a path.
import gc
import inspect
import json
import subprocess
import sys
from functools import cache
from itertools import chain
from pathlib import Path

import smart_open

HOME = Path(workflow.basedir).parent
sys.path.insert(0, str(HOME))

from m2m_core import config as m2m_config
from m2m_core import admission, door, driver, memory
from m2m_core.archive.contents import Portable, code_digest
from m2m_core.data import shards
from m2m_core.data.naming import holds_many
from m2m_core.data.sources import dated, inventory, places
from m2m_core.errors import M2MError
from m2m_core.files import check_folder, forget_incomplete
from m2m_core.provenance import fingerprint, with_file
from m2m_core.script import ERRORS, keep_caches, last_error, tell_scripts, use_library
from m2m_core.stages import Stages, is_simulated

use_library(HOME)
driver.current = workflow
if workflow.is_main_process and "slurm_partition" in (workflow.resource_settings.default_resources or {}):
    # The cores of this machine, which profiles/default counts, are not those of the nodes.
    workflow.resource_settings.cores = workflow.global_resources["_cores"] = sys.maxsize
smart_open.parse_uri = cache(smart_open.parse_uri)  # asked by Snakemake three times a job, where a script lies
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
keep_caches(f"{RESULTS}/.cache")
DATASET = f"{RESULTS}/datasets/{{dataset}}"
EXPERIMENT = f"{RESULTS}/experiments/{{experiment}}"
FOLD = f"{EXPERIMENT}/fold-{{fold}}"
LOGS = f"{RESULTS}/logs"

FIELDS = f"{DATASET}/fields"
SAMPLE_FILE = f"{FIELDS}/{{sample}}.h5"
SHARDS = f"{DATASET}/shards"
SIMULATED = f"{SHARDS}/{{shard,[0-9]+-[0-9]+}}.csv"
INSPECTED = f"{SHARDS}/{{shard,[0-9]+of[0-9]+}}.csv"
CATALOGUE = f"{DATASET}/catalogue.csv"
MOMENTS = f"{DATASET}/moments/{{transform}}.csv"
QUANTILES = f"{DATASET}/moments/{{transform}}.quantiles.csv"
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
ABLATION = f"{RESULTS}/ablations/{{ablation}}"
COMPARISON = f"{ABLATION}/comparison.svg"
TRIALS = f"{ABLATION}/trials.csv"
BEST = f"{ABLATION}/best.yaml"
SEARCH_STATE = f"{ABLATION}/search"
SEARCH_FIGURE = f"{ABLATION}/search.svg"
APPLIED = f"{RESULTS}/predictions/{{prediction}}"
ADMITTED = f"{APPLIED}/samples.csv"
PREDICTED = f"{APPLIED}/fold-{{fold}}.h5"
MEAN = f"{APPLIED}/mean.h5"
SPREAD = f"{APPLIED}/spread.h5"
WRITTEN = f"{APPLIED}/files"
ANSWERS = f"{APPLIED}/answers.csv"
SLICE_ANSWERS = f"{APPLIED}/slices.csv"
CONTENTS = f"{APPLIED}/files.json"
REPORT = f"{RESULTS}/report.html"
ARCHIVE = f"{RESULTS}/archive.zip"
ARCHIVE_WITH_PREDICTIONS = f"{RESULTS}/archive-with-predictions.zip"
PARTIAL_REPORT = f"{RESULTS}/report-partial.html"
ERROR_LINES = f"{RESULTS}/{ERRORS}"
tell_scripts(ERROR_LINES, CONFIG.plugins)
NOTES = ".snakemake"  # where Snakemake keeps its locks and what it knows of earlier runs

if workflow.is_main_process:
    for line in driver.prepare(RESULTS, NOTES):
        print(f"results: {line}", file=sys.stderr)
    for name in CONFIG.predictions:  # Snakemake knows of the folder alone
        folder = WRITTEN.format(prediction=name)
        if lost := forget_incomplete(CONTENTS.format(prediction=name), folder):
            print(f"results: {folder}/{lost} is gone or changed: the folder is made anew", file=sys.stderr)


wildcard_constraints:
    dataset="[a-z0-9][a-z0-9_-]*",
    experiment="[a-z0-9][a-z0-9_-]*",
    ablation="[a-z0-9][a-z0-9_-]*",
    prediction="[a-z0-9][a-z0-9_-]*",
    transform="[a-z0-9_-]+",
    figure="[a-z0-9_]+",
    sample="[A-Za-z0-9][A-Za-z0-9._-]*",
    fold=r"\d+",


PARTS = ("fold", "sample", "shard")  # wildcards that make no difference to the settings
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


@cache
def tables_of(name):
    """The moments, and the quantiles, that the statistics of an experiment are pooled from."""
    wanted = {MOMENTS: STAGES.transforms(name), QUANTILES: STAGES.sketched(name)}
    return [place(path, name).format(transform=t) for path, transforms in wanted.items() for t in transforms]


@quick
def moments_of(wildcards):
    return tables_of(wildcards.experiment)


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
    searched = (files.values() for files in SEARCHES.values())
    return list(dict.fromkeys(chain(*each, COMPARISONS.values(), *searched)))


@cache
def described(name):
    """An experiment for the report: its settings and where its results are, those shared with others included."""
    paths = {Path(path).name: place(path, name) for path in (EVALUATION, PREDICTIONS, HISTORY, RECORD)}
    folds = {
        fold: {file: path.replace("{fold}", str(fold)) for file, path in paths.items()} for fold in STAGES.folds(name)
    }
    return canonical({**STAGES.description(name), "folds": folds, "catalogue": place(CATALOGUE, name)})


@cache
def drawn(name):
    """An experiment for its figures, which show results and not settings."""
    return {**described(name), "config": {}}


@cache
def figures_of(name):
    return {figure: FIGURE.format(experiment=name, figure=figure) for figure in STAGES.figures(name)}


@cache
def found(name):
    """Sample id -> files of a dataset that exists, from names alone."""
    return or_exit(f"data {name}", places, CONFIG.datasets[name].source)


@cache
def shards_of(name):
    """The shards of a dataset, none if it is small; those on disk are kept as they are."""
    dataset = CONFIG.datasets[name]
    made = {path.stem for path in Path(SHARDS.format(dataset=name)).glob("*.csv")}
    if is_simulated(dataset):
        return shards.ranges(dataset.source["samples"], dataset.shard, made)
    if holds_many(dataset.source):
        return shards.pieces(sum(size for _, size, _ in files_in(name)), made)
    return shards.parts(found(name), dataset.shard, made)


def base_of(ablation):
    return CONFIG.experiments[CONFIG.ablations[ablation].of]


def of_base(path):
    """An input of a search: a file of its base, of the fold that is searched, or of its dataset."""

    @quick
    def of(wildcards):
        chosen = CONFIG.ablations[wildcards.ablation]
        return place(path, chosen.of).replace("{fold}", str(chosen.search.fold))

    return of


def searching(wildcards, threads):
    """As `running`, of the trials of a search."""
    settings = STAGES.searching(wildcards.ablation)
    return {**settings, "training": {**settings["training"], "threads": threads}}


def family_settings(wildcards):
    """An ablation for its figure: the base and what is made of it."""
    members = [described(name) for name in STAGES.members(wildcards.ablation)]
    return signed("comparison", {**STAGES.comparison(), "experiments": members})


def of_learnt(**paths):
    """As `of_experiment`, where the wildcard is `prediction`."""

    @quick
    def inputs(wildcards):
        name, fold = CONFIG.predictions[wildcards.prediction].experiment, wildcards.get("fold", "")
        return {key: place(path, name).replace("{fold}", fold) for key, path in paths.items()}

    return inputs


@quick
def predicted_samples(wildcards):
    """The catalogue of what is predicted."""
    chosen = CONFIG.predictions[wildcards.prediction]
    return CATALOGUE.format(dataset=chosen.dataset or dataset_of(chosen.experiment))


def each_model(path):
    """A file of each of the models that predict."""
    return quick(lambda w: [path.format(prediction=w.prediction, fold=k) for k in STAGES.models(w.prediction)])


def final(name):
    """The predictions to be used: of new samples the only ones or the mean, else of each fold its own."""
    chosen, folds = CONFIG.predictions[name], STAGES.models(name)
    if chosen.dataset is None:
        return [place(PREDICTIONS, chosen.experiment).replace("{fold}", str(k)) for k in folds]
    if STAGES.is_ensemble(name):
        return [MEAN.format(prediction=name)]
    return [PREDICTED.format(prediction=name, fold=folds[0])]


def predicted(wildcards=None):
    """Everything that `predictions` asks for."""
    files = []
    for name, chosen in CONFIG.predictions.items():
        if STAGES.tells(name):
            files += [path.format(prediction=name) for path in (ANSWERS, SLICE_ANSWERS)]
            continue
        files += final(name)
        files += [SPREAD.format(prediction=name)] if files[-1] == MEAN.format(prediction=name) else []
        files += [path.format(prediction=name) for path in (WRITTEN, CONTENTS)] if chosen.write else []
    return files


@quick
def verify_of_predicted(wildcards, threads):
    return CONFIG.datasets[CONFIG.predictions[wildcards.prediction].dataset].verify


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
    """Files that are simulated one by one, and the tables of all others; found files are no inputs but in params."""
    name = wildcards.dataset
    dataset, folder = CONFIG.datasets[name], SHARDS.format(dataset=name)
    few = range(min(dataset.source["samples"], shards.FEW)) if is_simulated(dataset) else []
    files = [SAMPLE_FILE.format(dataset=name, sample=f"{i:04d}") for i in few]
    return files + [f"{folder}/{shard}.csv" for shard in shards_of(name)]


def canonical(value):
    """Snakemake compares the text of a parameter, so the order of keys must not matter."""
    if isinstance(value, dict):
        return {key: canonical(value[key]) for key in sorted(value)}
    return [canonical(item) for item in value] if isinstance(value, (list, tuple)) else value


def signed(stage, settings):
    """What `stage` reads of the config, and the digest of the code it runs, its script included."""
    return canonical({**settings, "code": with_file(settings["code"], HOME / "workflow/scripts" / f"{stage}.py")})


def settings(stage):
    """What `stage` reads of the config, and the digest of the code it runs: a function of the wildcards alone."""

    @cache
    def of(*names):
        return signed(stage, getattr(STAGES, stage)(*names))

    return quick(lambda wildcards: of(*(name for key, name in wildcards.items() if key not in PARTS)))


@cache
def drawing(figure):
    return signed("figure", STAGES.figure(figure))


@quick
def figure_settings(wildcards):
    return {"experiment": drawn(wildcards.experiment), **drawing(wildcards.figure)}


def report_settings(wildcards):
    """The whole config once, and what it does not say of each experiment."""
    experiments = [
        {key: value for key, value in described(name).items() if key != "config"} for name in CONFIG.experiments
    ]
    return signed("report", {**STAGES.report(), "experiments": experiments})


def inspection_settings(wildcards):
    """The settings of an inspection with the names, sizes and dates of the files that it will read."""
    name, files = wildcards.dataset, found(wildcards.dataset)
    mine = {file for sample in filter(shards.member(wildcards.shard), files) for file in files[sample]}
    known = files_in(name) if holds_many(CONFIG.datasets[name].source) else or_exit(f"data {name}", dated, mine)
    return signed("inspection", {**STAGES.inspection(name), "files": fingerprint(known)})


def figures_of_all(wildcards):
    return {name: figures_of(name) for name in CONFIG.experiments}


def kept(*more):
    """What an archive has of the results, each after what it is made of."""
    made = (STATISTICS, CROPS, MODEL, RECORD, HISTORY, *more, EVALUATION)
    paths = [place(CATALOGUE, name) for name in CONFIG.experiments]
    for name in CONFIG.experiments:
        paths += tables_of(name)
    for name in CONFIG.experiments:
        folds = map(str, STAGES.folds(name))
        paths += [place(path, name).replace("{fold}", fold) for fold in folds for path in made]
    figures = [path for name in CONFIG.experiments for path in figures_of(name).values()]
    searched = [path for files in SEARCHES.values() for path in files.values()]
    return list(dict.fromkeys([*paths, *figures, *COMPARISONS.values(), *searched, REPORT]))


def archive_settings(wildcards):
    """The config and what made the report; the digest of all code that goes into the archive, comments included."""
    portable = Portable(RESULTS, CONFIG.plugins)
    page = {
        "settings": report_settings(wildcards),
        "figures": figures_of_all(wildcards),
        "comparisons": COMPARISONS,
        "searches": SEARCHES,
        "path": REPORT,
    }
    known = {
        "results": RESULTS,
        "plugins": CONFIG.plugins,
        "report": page,
        "code": code_digest(portable.plugin_files()),
    }
    return canonical({**known, "config": portable.config(CONFIG.model_dump(), CONFIG.variants)})


def catalogue_settings(wildcards):
    """The same for a catalogue that reads the files itself."""
    name = wildcards.dataset
    read = not is_simulated(CONFIG.datasets[name]) and not shards_of(name)
    return signed("catalogue", {**STAGES.catalogue(name), "files": fingerprint(files_in(name)) if read else None})


@cache
def files_in(name):
    """(path, size, time of change) of the found files of a dataset, none of a simulated one."""
    return or_exit(f"data {name}", inventory, CONFIG.datasets[name].source)


@quick
def training_threads(wildcards):
    training = CONFIG.experiments[wildcards.experiment].training
    return training.threads or 8 * training.gpus


@quick
def gpus_of(wildcards):
    """GPUs on each node."""
    training = CONFIG.experiments[wildcards.experiment].training
    return 0 if training.device == "cpu" else training.gpus


SEVERAL_NODES = any(experiment.training.nodes > 1 for experiment in CONFIG.experiments.values())


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


if CONFIG.predictions:
    read = {name: files_in(name) for name in CONFIG.datasets}
    or_exit("config", admission.refuse_own, f"{RESULTS}/predictions", read)


def begin():
    or_exit("results", driver.own, RESULTS)
    run = getattr(getattr(workflow.scheduler, "_executor", None), "run_uuid", None)  # that of the Slurm executor
    for line in driver.take_over(RESULTS, run):
        print(f"results: {line}", file=sys.stderr)
    for path in (ERROR_LINES, PARTIAL_REPORT):
        Path(path).unlink(missing_ok=True)
    or_exit("results", driver.remember, RESULTS, NOTES, [files_in(name) for name in CONFIG.datasets])


def end():
    memory.keep(RESULTS, NOTES)


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
