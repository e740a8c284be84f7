"""The page for users of map2map: each of its options is there, and each key and name that it tells exists."""

import re
from pathlib import Path

import pytest

from m2m_core import registry
from tests.workflow import edits

PAGE = (Path(__file__).parents[2] / "config/from-map2map.md").read_text()
FLAGS = """
    adv-criterion adv-iter-ratio adv-label-smoothing adv-lr adv-model adv-model-spectral-norm adv-r1-reg-interval
    adv-start adv-wgan-gp-interval aug-add aug-mul aug-shift augment batches callback-at cgan criterion crop crop-start
    crop-step crop-stop detect-anomaly dist-backend div-data div-shuffle-dist epochs in-norms in-pad init-weight-std
    instance-noise instance-noise-batches load-state load-state-non-strict loader-workers log-interval lr misc-kwargs
    model num-threads optimizer optimizer-args pad reduce-lr-on-plateau scale-factor scheduler-args seed
    test-in-patterns tgt-norms tgt-pad train-in-patterns train-style-pattern train-tgt-patterns val-in-patterns
    val-tgt-patterns
""".split()  # of its command line, and of its branches where a paper needed them
OURS = [cell for line in PAGE.splitlines() if line.startswith("| ") for cell in [line.split(" | ", 1)[1]]]


@pytest.mark.parametrize("flag", FLAGS)
def test_every_option_is_there(flag):
    assert re.search(rf"`--{flag}[ `]", PAGE)


def test_every_key_exists():
    keys = {edits.plain(path) for path in edits.leaves()}
    sections = {key.split(".")[0] for key in keys}
    told = {word for cell in OURS for word in re.findall(r"`([a-z0-9_.]+)", cell) if word.split(".")[0] in sections}
    assert len(told) > 30
    assert not [key for key in told if not any(f"{known}.".startswith(f"{key}.") for known in keys)]


@pytest.mark.parametrize("kind", ["model", "loss", "schedule"])
def test_every_name_exists(kind):
    told = {name for cell in OURS for name in re.findall(rf"`{kind}: (?:\{{name: )?(\w+)", cell)}
    assert told and told <= registry.entries(kind).keys()


def test_every_normalisation_exists():
    words = set(re.findall(r"`(\w+)`", PAGE.split("## Normalisation")[1].split("## Models")[0]))
    known = registry.entries("scaling").keys() | registry.entries("transform").keys()
    assert {
        "displacement",
        "velocity",
        "standardise",
        "minmax",
        "robust",
        "exp",
        "log",
        "expm1",
        "log1p",
    } <= words & known
