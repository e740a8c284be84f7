#!/usr/bin/env bash
# Run by Snakemake when it has made the environment: installs the library of this clone into it.
set -euo pipefail
pip install --no-deps --quiet -e .
