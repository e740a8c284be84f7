"""The distribution of every sample under one transform."""

from m2m_core.data.catalogue import Catalogue
from m2m_core.data.fields import verify
from m2m_core.script import rule
from m2m_core.statistics import quantiles, write_quantiles

with rule(snakemake) as job:  # noqa: F821
    catalogue = Catalogue.read(job.input.catalogue)
    verify(catalogue, job.params.verify)
    write_quantiles(job.output[0], quantiles(catalogue, job.settings["transform"], processes=job.threads))
