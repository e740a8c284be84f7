"""Train, check and compare neural emulators of physical fields. The map of the house is in README.md."""

__version__ = "0.1.0"
