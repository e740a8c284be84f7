"""The table of what some of the found samples hold."""

from m2m_core.data.shards import inspect_part
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    inspect_part(job.settings["source"], job.wildcards.shard).write(job.output[0])
