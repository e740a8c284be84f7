"""What several models predict, together."""

from m2m_core.inference.ensemble import combine
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    job.result = combine(job.settings, list(job.input), job.output, job)
