"""The export stage: from the files of training to one file that leaves the house."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .. import CITATION, __version__, registry
from ..data.catalogue import Sample
from ..models.weights import load_weights
from ..tasks.protocol import Study, build
from ..tasks.study import read_record, read_study
from .program import save

__all__ = ["export"]

FORMAT = 1
RECORDED = ("sha256", "identity", "steps", "best_step", "seed", "parameters", "versions")
USE = "unzip -p FILE archive/extra/{0}.py > {0}.py; from {0} import load; {0}, about = load(FILE)"


def export(settings: Mapping[str, Any], files: Any, output: str, fold: int, job: Any) -> str:
    """Write the emulator of `fold` to `output`; returns a line about it.

    Raises RunError when the weights are not those that training wrote, or when torch cannot export them exactly,
    ConfigError when the task or the normalisation has no exported form.
    """
    torch.set_num_threads(job.threads)
    record = read_record(files.record)
    study = read_study({**record["settings"], "inference": settings["inference"]}, files, fold)
    task = build(study)
    load_weights(files.model, task.modules, record["sha256"])
    for module in task.modules.values():
        module.eval()
    exportable = registry.load("export", settings["task"])(task)
    use = USE.format(exportable.loader.__name__.split(".")[-1])
    size, free = save(output, exportable, {**_about(settings, record, study), "use": use})
    what, measure = exportable.unit
    sizes = "of free size" if free else f"of {'x'.join(map(str, exportable.only))} {measure} alone"
    return f"{size / 1e6:.1f} MB, {what} {sizes}"


def _about(settings: Mapping[str, Any], record: Mapping[str, Any], study: Study) -> dict[str, Any]:
    """What a user of the file must know, whatever the family."""
    training = study.catalogue.training(study.fold)
    known = {name: sorted({getattr(s, name) for s in training}) for name in ("redshift", "omega_m")}
    own = [name for name in record["settings"]["styles"] if name in training[0].parameters]
    known |= {name: sorted({s.parameters[name] for s in training}) for name in own}
    return {
        "format": FORMAT,
        "cite": CITATION,
        "experiment": settings["experiment"],
        "fold": study.fold,
        **({"meaning": settings["meaning"]} if settings.get("meaning") else {}),
        "config": {key: value for key, value in record["settings"].items() if key != "code"},
        "trained_on": {**_samples(training), **known},
        "defaults": {name: values[0] for name, values in known.items() if len(values) == 1},
        "training": {key: record[key] for key in RECORDED},
        "exported_by": {"m2m_core": __version__, "torch": torch.__version__},
    }


def _samples(training: Sequence[Sample]) -> dict[str, Any]:
    """How many samples there were, and their boxes [Mpc/h] and cells [Mpc/h]: an emulator knows no other cells."""
    boxes = sorted({(s.box_size, s.shape("input")[1:]) for s in training})
    kinds = [
        {
            "box_size": list(box),
            "voxels": list(space),
            "cell": [length / n for length, n in zip(box, space, strict=True)],
        }
        for box, space in boxes
    ]
    return {"samples": len(training), "boxes": kinds}
