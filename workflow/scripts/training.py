"""The model of one fold."""

from m2m_core.script import rule
from m2m_core.training.stage import train

with rule(snakemake) as job:  # noqa: F821
    job.result = train(job.settings, job.params.running, job.input, job.output, job.fold, job)
