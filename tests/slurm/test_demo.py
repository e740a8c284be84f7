"""The demo through the literal `snakemake --profile slurm`, with fewer epochs."""

import shutil

import pytest

from tests.workflow.conftest import TOP

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]


def test_the_demo_fills_the_cluster(cluster):
    shutil.copy2(TOP / "config/config.yaml", cluster.folder / "config/config.yaml")
    shorter = cluster.folder / "shorter.yaml"
    shorter.write_text("experiments: {vnet: {training: {epochs: 4}}}\n")
    output = cluster.run("--configfile", shorter.name)
    assert "The report is at" in output and cluster.path("report.html").exists()
    groups = {path.name for path in cluster.path("slurm_logs").iterdir()}
    assert {"group_simulation_simulation", "rule_training", "rule_inference", "rule_evaluation"} <= groups
    assert len(list(cluster.path("slurm_logs/group_simulation_simulation").iterdir())) == 2  # 12 boxes, ten a job
    assert "Nothing to be done" in cluster.run("--configfile", shorter.name)
