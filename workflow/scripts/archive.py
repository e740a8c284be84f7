"""Everything that made the report, but the fields, in one file."""

from m2m_core.archive.pack import pack
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    job.result = pack(job.settings, job.input, job.output[0])
