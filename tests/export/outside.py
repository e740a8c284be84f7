"""Studies that are trained, predicted and exported, and their emulators in a Python that has no m2m_core."""

import json
import logging
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

from m2m_core.data.fields import Fields
from m2m_core.export.stage import export
from m2m_core.inference.stage import predict
from m2m_core.training.tracking import Tracker
from tests.tasks.pipeline import Files, training
from tests.tasks.studies import fields

__all__ = ["exported", "made", "model", "numbers_of", "outside", "unpacked"]

logging.getLogger("torch.__trace").setLevel(logging.CRITICAL)  # pytest would collect every line of it

OUTSIDE = """
import json, sys
sys.path.insert(0, ".")
import numpy as np, torch
from emulate import load
torch.set_num_threads(1)
emulate, about = load("emulator.pt2")
told = json.load(open("told.json"))
with np.load("inputs.npz") as inputs:
    out = {name: emulate(inputs[name], **told[name]).numpy() for name in inputs.files}
assert not [name for name in sys.modules if name.startswith(("m2m_core", "safetensors", "pydantic"))]
np.savez("outputs.npz", **out)
"""


def exported(files, path):
    settings = {"task": "field_to_field", "experiment": "e", "inference": files.experiment["inference"]}
    return export(settings, files, str(path), files.fold, files.job)


def made(folder, space, source=None, channels=None, count=6, **changes):
    """The files of a fold, trained, predicted and exported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tracker, "pictures", lambda *_: None)
        catalogue = fields(folder, count, space, channels, **(source or {}))
        files = Files(folder / "run", catalogue, fold=1, **changes)
        training(files, epochs=1)
    predict({"inference": files.experiment["inference"]}, files, str(files.predictions), files.fold, files.job)
    files.emulator = folder / "emulator.pt2"
    files.line = exported(files, files.emulator)
    files.catalogue_read = catalogue
    return files


def unpacked(files, folder):
    """A folder with the emulator and its own loader, and nothing else."""
    folder.mkdir()
    (folder / "emulator.pt2").write_bytes(files.emulator.read_bytes())
    with zipfile.ZipFile(files.emulator) as file:
        (folder / "emulate.py").write_bytes(file.read("archive/extra/emulate.py"))
    return folder


def numbers_of(files, sample):
    """What its emulator has to be told of a sample."""
    noisy = dict(files.experiment["model"])["name"] == "stylegan2_generator"
    own: dict = {"seed": sample.id} if noisy else {}
    own |= {name: sample.parameters[name] for name in files.experiment["styles"] if name in sample.parameters}
    return {"redshift": sample.redshift, "omega_m": sample.omega_m, **own}


def outside(files, folder):
    """What the file predicts in a Python that cannot import the library, beside what inference predicted."""
    unpacked(files, folder)
    samples = files.catalogue_read.held_out(files.fold)
    inputs = {sample.id: Fields().whole(sample, "input") for sample in samples}
    np.savez(folder / "inputs.npz", **inputs)
    (folder / "told.json").write_text(json.dumps({sample.id: numbers_of(files, sample) for sample in samples}))
    subprocess.run([sys.executable, "-I", "-c", OUTSIDE], cwd=folder, check=True)
    with np.load(folder / "outputs.npz") as outputs, h5py.File(files.predictions) as predictions:
        return [(outputs[sample.id], predictions[sample.id][...]) for sample in samples]


def model(name="vnet", padding="periodic", **options):
    """A small network."""
    return {"name": name, "width": 2, "depth": 1, "padding": padding, **options}
