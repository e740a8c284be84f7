"""The held-out samples of one fold, measured."""

from m2m_core.evaluation import evaluate
from m2m_core.script import rule

with rule(snakemake) as job:  # noqa: F821
    job.result = evaluate(job.settings, job.input, job.output[0], job.fold, job)
