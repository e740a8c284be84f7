"""Errors that a user can act on: one line (where: what; expected) and one exit code each."""

__all__ = ["ConfigError", "DataError", "Diverged", "M2MError", "OutOfMemory", "RunError", "Stopped", "printable"]


def printable(text: str) -> str:
    """`text` in one line without control characters, so that a name cannot drive a terminal or start a new line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


class M2MError(Exception):
    """Base of all errors that end with one line and no traceback on the console."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class ConfigError(M2MError):
    """The configuration asks for something that does not exist or cannot be."""

    exit_code = 2


class DataError(M2MError):
    """A file is missing, damaged, or not what the rest of the dataset is."""

    exit_code = 3


class RunError(M2MError):
    """The state of a run, a disk or a device does not allow going on."""

    exit_code = 4


class OutOfMemory(RunError):
    """The memory of the device or of the machine is too small for what was asked."""


class Diverged(M2MError):
    """A loss or a gradient is no longer finite; the last good checkpoint is kept."""

    exit_code = 5


class Stopped(M2MError):
    """The scheduler asked us to stop. Everything is saved; running again continues."""

    exit_code = 143
