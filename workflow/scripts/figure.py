"""One figure of one experiment."""

from m2m_core.report.draw import draw
from m2m_core.report.results import results_of
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    draw(job.settings["figure"], results_of(job.settings["experiment"]), job.output[0])
