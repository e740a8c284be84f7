"""The labels that several models tell, as tables."""

from m2m_core.inference.answers import tabulate
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    job.result = tabulate(job.settings, list(job.input), job.output)
