"""What holds for all tests."""

from hypothesis import settings

settings.register_profile("shared machines", deadline=None)  # no test asserts a time
settings.load_profile("shared machines")

FIRST = "tests/slurm", "tests/workflow"  # files of minutes: at the end they would leave other workers nothing to do


def pytest_collection_modifyitems(items):
    """The longest files first."""
    items.sort(key=lambda item: not item.nodeid.startswith(FIRST))
