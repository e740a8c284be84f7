"""One simulated sample."""

from m2m_core.script import rule
from m2m_core.simulations import simulate

with rule(snakemake) as job:  # noqa: F821
    simulate(job.settings["source"], int(job.wildcards.sample), job.output[0])
