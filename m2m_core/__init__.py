"""Train, check and compare neural emulators of physical fields. The map of the house is in README.md."""

__version__ = "0.1.0"
CITATION = f"The m2m developers. m2m: train, check and compare neural emulators of physical fields, {__version__}. MIT."
