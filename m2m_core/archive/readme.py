"""The README of an archive: how its report is made again."""

__all__ = ["README"]

README = """# Archive of an m2m study

Everything that made `results/report.html`, but the fields and the predictions: the config that was used
(`config/config.yaml`), the code (`workflow`, `m2m_core`, plugins), the environment (`environment`), and below
`results` the catalogue, statistics, models, histories, records, evaluations, figures and the report.

## Make the report again, without data and without training

    python3 -m venv .venv
    .venv/bin/pip install -r environment/requirements.txt
    .venv/bin/python -m m2m_core.archive

This compares every file with `MANIFEST.sha256` (so does `sha256sum -c MANIFEST.sha256`), draws the figures from the
evaluations and writes `reproduced/report.html`. It says whether bytes are the same; they are where versions are.
A figure that shows fields (slices) cannot be drawn without them: it is taken as it is. `report.json` lists these.

The packages are for Python as in `environment/environment.json`. pip takes torch with its GPU libraries on Linux; the
report does not need torch at all.

## Do everything again, from the data on

    .venv/bin/python -m snakemake --forceall

simulates, or reads the files that the config names, trains, and overwrites `results`. README-m2m.md explains the rest.
"""
