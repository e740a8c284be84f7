"""One results tree for all tests that only read it."""

import pytest
import synthetic

from m2m_core.report.results import ExperimentResults


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> ExperimentResults:
    """Six 3-D displacement samples in three folds, judged beside the input and 2LPT."""
    return synthetic.tree(tmp_path_factory.mktemp("results"))
