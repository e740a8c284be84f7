"""The figure of one ablation."""

from m2m_core.report.stage import draw_comparison
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    draw_comparison(job.settings, job.output[0])
