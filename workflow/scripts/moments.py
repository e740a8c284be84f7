"""The moments of every sample under one transform."""

from m2m_core.data.catalogue import Catalogue
from m2m_core.data.fields import verify
from m2m_core.data.rounding import rounded
from m2m_core.script import rule
from m2m_core.statistics import moments, write_moments

with rule(snakemake) as job:  # noqa: F821
    catalogue = Catalogue.read(job.input.catalogue)
    verify(catalogue, job.params.verify)
    rows = moments(catalogue, job.settings["transform"], processes=job.threads)
    job.warn(rounded(catalogue, rows, job.settings["transform"]))
    write_moments(job.output[0], rows)
