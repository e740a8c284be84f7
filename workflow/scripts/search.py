"""The trials of one search."""

from m2m_core.config import trial_of
from m2m_core.script import rule
from m2m_core.search.stage import search

with rule(snakemake) as job:  # noqa: F821
    job.result = search(job.settings, job.params.running, job.input, job.output, trial_of, job)
