"""Many simulated samples, and the table of what they hold."""

from m2m_core.data.shards import inspect_simulated
from m2m_core.script import rule
from m2m_core.simulations import simulate_missing

with rule(snakemake) as job:  # noqa: F821
    files = simulate_missing(job.settings["simulation"], job.wildcards.shard, job.params.folder)
    inspect_simulated(files).write(job.output[0])
