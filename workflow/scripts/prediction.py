"""New samples, predicted by the model of one fold."""

from m2m_core.inference.stage import predict_new
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    job.result = predict_new(job.settings, job.input, job.output[0], job.fold, job)
