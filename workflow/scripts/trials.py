"""The figure of one search."""

from m2m_core.report.stage import draw_search
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    draw_search(job.settings, job.input[0], job.output[0])
