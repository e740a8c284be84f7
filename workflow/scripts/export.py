"""The emulator of one fold as one file."""

from m2m_core.export.stage import export
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    job.result = export(job.settings, job.input, job.output[0], job.fold, job)
