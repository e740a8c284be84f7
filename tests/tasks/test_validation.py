"""Samples that choose the model are whole groups of the training folds, the same whatever else is there."""

from hypothesis import given
from hypothesis import strategies as st

from m2m_core.tasks.validation import chosen_for_validation

GROUPS = st.lists(st.text("abcdef", min_size=1, max_size=3), min_size=0, max_size=30)


def settings(fraction=0.3, seed=0):
    return {"validation": {"fraction": fraction}, "seed": seed}


@given(GROUPS, st.floats(0.01, 0.99), st.integers(0, 9), st.integers(0, 5))
def test_some_groups_but_never_all(groups, fraction, seed, fold):
    chosen = chosen_for_validation(groups, settings(fraction, seed), fold)
    assert chosen <= set(groups)
    count = len(set(groups))
    assert len(chosen) == (min(max(1, round(fraction * count)), count - 1) if count > 1 else 0)
    assert chosen == chosen_for_validation(reversed(groups), settings(fraction, seed), fold)


def test_seed_and_fold_decide():
    groups = [str(n) for n in range(40)]
    chosen = {frozenset(chosen_for_validation(groups, settings(seed=s), k)) for s in range(3) for k in range(3)}
    assert len(chosen) == 9


def test_no_validation():
    assert chosen_for_validation("ab", {"validation": None, "seed": 0}, 0) == set()
