"""The report page."""

from m2m_core.report.stage import write_report
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    write_report(job.settings, job.params, job.output[0])
