"""The statistics of the training samples of one fold."""

from m2m_core.data.catalogue import Catalogue
from m2m_core.files import write_json
from m2m_core.script import rule
from m2m_core.statistics import of_fold

with rule(snakemake) as job:  # noqa: F821
    catalogue = Catalogue.read(job.input.catalogue)
    write_json(job.output[0], of_fold(job.settings["normalize"], job.input.moments, catalogue.training(job.fold)))
