"""The held-out samples of one fold, predicted."""

from m2m_core.inference.stage import predict
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    job.result = predict(job.settings, job.input, job.output[0], job.fold, job)
