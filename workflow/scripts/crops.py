"""The lattices of crops of an experiment."""

from m2m_core.crops import write_index
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    job.result = write_index(job.settings, job.input.catalogue, job.output[0])
