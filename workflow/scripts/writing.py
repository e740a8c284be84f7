"""Predictions as files for other programs."""

from m2m_core.files import write_contents
from m2m_core.inference.writing import write
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    job.result = write(job.settings, job.input, job.output.files, job)
    write_contents(job.output.contents, job.output.files)
