"""The catalogue of a dataset."""

from m2m_core.data.stage import make_catalogue
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    catalogue = make_catalogue(job.settings, list(job.input))
    job.warn(catalogue.warnings)
    catalogue.write(job.output[0])
