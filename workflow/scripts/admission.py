"""What fits of the samples that are to be predicted."""

from m2m_core.admission import admit_samples
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    job.result = admit_samples(job.settings, job.input, job.output[0], job.wildcards.prediction)
