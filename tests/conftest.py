"""The order of the tests."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first, so that several processes of the tests end together."""
    items.sort(key=lambda item: [item.get_closest_marker(name) is None for name in ("slurm", "workflow")])
