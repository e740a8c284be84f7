"""The files of one fold as the stages write them, without a workflow."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from m2m_core.training.stage import train
from tests.tasks.studies import arrays, experiment, study

__all__ = ["Files", "training"]

RUNNING = ("workers", "save_steps", "save_minutes", "keep", "gpus", "nodes", "threads", "checkpoint_activations",
           "detect_anomaly")  # fmt: skip
PRIVATE = ("dataset", "evaluation", "inference", "tracking")


class Files(SimpleNamespace):
    """Paths by name, and what the stages are given."""

    def __init__(self, folder: Path, catalogue, fold: int = 0, **changes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.fold, self.experiment = folder, fold, experiment(**changes)
        names = "catalogue.csv statistics.json crops.npz model.safetensors history.csv record.json predictions.h5"
        super().__init__(**{name.split(".")[0]: folder / name for name in names.split()}, table=folder / "table.csv")
        catalogue.write(self.catalogue)
        self.write_statistics(study(catalogue, self.experiment, fold).statistics)
        np.savez(self.crops, **arrays(catalogue, self.experiment))
        self.said: list[str] = []
        self.verify = "size"

    def write_statistics(self, statistics: dict) -> None:
        self.statistics.write_text(json.dumps(statistics))

    @property
    def job(self):
        """What a script gives to a stage."""
        params = SimpleNamespace(verify=self.verify, folder=f"{self.folder}/training")
        return SimpleNamespace(
            threads=1, params=params, wildcards={}, name="training e 0", console=io.StringIO(), say=self.said.append
        )


def training(files: Files, **changed) -> str:
    """Run the training stage, with settings of the training changed."""
    settings = {key: value for key, value in files.experiment.items() if key not in PRIVATE} | {"code": "c0de"}
    everything = files.experiment["training"] | changed
    settings["training"] = {key: value for key, value in everything.items() if key not in RUNNING}
    running = {key: files.experiment[key] for key in ("inference", "evaluation", "tracking")}
    running["training"] = {key: everything[key] for key in RUNNING} | {"threads": 1}
    return train(settings, running, files, files, files.fold, files.job)
