"""Cubes whose names are their labels: the layouts of the gravity data, factors, differences, groups."""

import hashlib

import h5py
import numpy as np
import pytest

from m2m_core.config import parse
from m2m_core.data.catalogue import Catalogue, build
from m2m_core.data.fields import Fields, verify
from m2m_core.data.folds import assign
from m2m_core.data.labels import cubes
from m2m_core.data.naming import check_words
from m2m_core.data.shards import inspect_part
from m2m_core.data.sources import places
from m2m_core.data.stage import make_catalogue
from m2m_core.errors import ConfigError, DataError
from m2m_core.physics.cosmology import growth
from m2m_core.simulations import simulate
from m2m_core.statistics import moments, of_fold, write_moments
from tests.data.making import field

N, SEEDS, THEORIES = 6, 4, ("gr", "newton")
LABELS = {"gr": {"theory": "gr"}}
FOLDS = {"given": None, "count": 2, "by": "group", "seed": 0}
RAW = "seed{seed}/{theory}/{theory}_snap00{snapshot}_phi.h5"
REDSHIFTS = {"2": 10.0, "4": 1.0}


def cube(theory: str, seed: int, snapshot: int = 0) -> np.ndarray:
    return field((N, N, N), 100 * seed + 10 * THEORIES.index(theory) + snapshot) + 1.0


def prepared(path, name, **options):
    """One file of all cubes, under names made by `name`."""
    with h5py.File(path, "w") as file:
        for seed in range(SEEDS):
            for theory in THEORIES:
                file.create_dataset(name(theory, seed), data=cube(theory, seed), **options)
    return str(path)


def raw(folder):
    """One file a cube and snapshot."""
    for seed in range(SEEDS):
        for theory in THEORIES:
            for snapshot in map(int, REDSHIFTS):
                path = folder / RAW.format(seed=f"{seed:04d}", theory=theory, snapshot=snapshot)
                path.parent.mkdir(parents=True, exist_ok=True)
                with h5py.File(path, "w") as file:
                    file["data"] = cube(theory, seed, snapshot)
    return str(folder / RAW)


def catalogued(samples, folds=2) -> Catalogue:
    return build(samples, assign({s.id: s.group for s in samples}, folds))


@pytest.mark.parametrize("name, dataset, options", [
    (lambda theory, seed: f"{theory}_seed{seed:04d}", "{theory}_seed{seed}", {}),
    (lambda theory, seed: f"{theory}_seed{seed:04d}", "{theory}_seed{seed}", {"compression": "gzip"}),
    (lambda theory, seed: f"{seed}/{theory}", "{seed}/{theory}", {"compression": "gzip"}),
])  # fmt: skip
def test_all_cubes_of_one_prepared_file(tmp_path, name, dataset, options):
    file = prepared(tmp_path / "data_z1.0.h5", name, **options)
    samples = cubes(input=file, dataset=dataset, labels=LABELS, redshift=1.0, box_size=5120.0)
    assert len(samples) == 8 and {s.group for s in samples} == {name("", k)[-4:].strip("/") for k in range(SEEDS)}
    catalogue, fields = catalogued(samples), Fields()
    for sample in catalogue:
        theory, seed = "gr" if sample.parameters["gr"] else "newton", int(sample.parameters["seed"])
        assert theory in sample.id and list(sample.fields) == ["input"] and sample.shape("input") == (1, N, N, N)
        assert (sample.redshift, sample.box_size) == (1.0, (5120.0,) * 3)
        np.testing.assert_array_equal(fields.whole(sample, "input")[0], cube(theory, seed))
        block = fields.block(sample, "input", (4, 0, 1), (3, 2, 2))[0]
        np.testing.assert_array_equal(block, cube(theory, seed)[np.ix_([4, 5, 0], [0, 1], [1, 2])])


def test_raw_files_one_a_snapshot_with_its_redshift(tmp_path):
    samples = cubes(input=raw(tmp_path), labels=LABELS, redshifts=REDSHIFTS)
    assert [s.id for s in samples][:3] == ["0000-gr-2", "0000-gr-4", "0000-newton-2"]
    assert {(s.id[-1], s.redshift) for s in samples} == {("2", 10.0), ("4", 1.0)}
    assert {s.group for s in samples} == {f"000{k}" for k in range(SEEDS)}
    one = next(s for s in catalogued(samples) if s.id == "0003-newton-4")
    np.testing.assert_array_equal(Fields().whole(one, "input")[0], cube("newton", 3, 4))
    assert one.parameters == {"seed": 3.0, "gr": 0.0}


def test_members_of_a_seed_share_a_fold(tmp_path):
    source = {"kind": "cubes", "input": raw(tmp_path), "redshifts": REDSHIFTS, "labels": LABELS}
    catalogue = make_catalogue({"source": source, "folds": FOLDS, "on_nonfinite": "refuse", "tells": True}, [])
    assert all(len({s.fold for s in catalogue if s.group == group}) == 1 for group in {s.group for s in catalogue})


def test_pairs_are_kept_together_unless_said_and_never_split():
    experiment = {"e": {"dataset": "d", "crops": {"size": 8}, "model": "vnet"}}

    def folds(source, **given):
        return parse({"datasets": {"d": {"source": source, "folds": given}}, "experiments": experiment}).datasets["d"]

    pairs, alone = {"kind": "gravity"}, {"kind": "cubes", "input": "a.h5", "group": None}
    assert folds(pairs).folds.by == "group" and folds(alone).folds.by == "sample"
    assert folds({"kind": "nbody"}).folds.by == "sample"
    with pytest.raises(ConfigError, match="datasets.d.folds.by: sample, but source.group is 'seed'.*expected group"):
        folds(pairs, by="sample")


def test_lists_of_folds_that_split_a_pair_are_refused(tmp_path):
    file = prepared(tmp_path / "a.h5", lambda theory, seed: f"{seed}/{theory}")
    source = {"kind": "cubes", "input": file, "dataset": "{seed}/{theory}", "labels": LABELS}
    ids = [f"{seed}-{theory}" for theory in THEORIES for seed in range(SEEDS)]
    settings = {
        "source": source,
        "folds": {**FOLDS, "given": [ids[:4], ids[4:]]},
        "on_nonfinite": "refuse",
        "tells": True,
    }
    with pytest.raises(ConfigError, match="group '0' is in folds"):
        make_catalogue(settings, [])


def test_simulated_pairs_come_with_their_numbers_and_share_a_fold(tmp_path):
    source = {"kind": "gravity", "mesh": 8, "redshift": [10.0, 1.0], "sigma_8": [0.7, 0.9]}
    files = [str(tmp_path / f"{n:04d}.h5") for n in range(8)]
    for n, file in enumerate(files):
        simulate(source, n, file)
    catalogue = make_catalogue({"source": source, "folds": FOLDS, "on_nonfinite": "refuse"}, files)
    for n, sample in enumerate(catalogue):
        assert list(sample.fields) == ["input"] and sample.group == f"{n // 2}"
        assert (sample.parameters["gr"], sample.parameters["seed"]) == (1 - n % 2, n // 2)
        assert 0.7 < sample.parameters["sigma_8"] < 0.9 and sample.redshift == [10.0, 1.0][n // 2 % 2]
    assert [s.fold for s in catalogue][::2] == [s.fold for s in catalogue][1::2]
    assert {s.fold for s in catalogue} == {0, 1}


GROUPS = {"dataset": "{seed}/{theory}", "labels": LABELS}


def test_cubes_of_one_file_have_digests_of_their_own_whatever_their_layout(tmp_path):
    """A stage that reads some of them reads no others: of 268 GB it would take hours."""
    found = []
    for n, options in enumerate([{}, {"compression": "gzip"}, {"chunks": (4, 2, 3)}]):
        file = prepared(tmp_path / f"{n}.h5", lambda theory, seed: f"{seed}/{theory}", **options)
        found.append([s.arrays[0].digest for s in catalogued(cubes(input=file, **GROUPS))])
        with h5py.File(file, "r+") as stream:
            stream["9/gr"] = cube("gr", 9)
            stream["9/newton"] = cube("newton", 9)
        assert [s.arrays[0].digest for s in catalogued(cubes(input=file, **GROUPS))][:8] == found[-1]
    assert found[0] == found[1] == found[2] and len(set(found[0])) == 8
    assert found[0][0] == f"values:{hashlib.sha256(cube('gr', 0).tobytes()).hexdigest()}"


def test_a_damaged_cube_among_many_is_named_and_hurts_no_other(tmp_path):
    file = prepared(tmp_path / "a.h5", lambda theory, seed: f"{seed}/{theory}")
    catalogue = catalogued(cubes(input=file, **GROUPS))
    verify(catalogue, "full")
    with h5py.File(file) as stream:
        place = stream["2/gr"].id.get_offset()
    with open(file, "r+b") as stream:
        stream.seek(place)
        stream.write(b"x")
    verify([sample for sample in catalogue if sample.id != "2-gr"], "full")
    with pytest.raises(DataError, match="a.h5: '2/gr' is damaged: sha256 [0-9a-f]{12}, [0-9a-f]{12} expected"):
        verify(catalogue, "full")


def test_the_same_cube_under_two_seeds_is_found(tmp_path):
    """A copy among the seeds that are held out would be a leak."""
    file = prepared(tmp_path / "a.h5", lambda theory, seed: f"{seed}/{theory}")
    with h5py.File(file, "r+") as stream:
        del stream["3/gr"]
        stream.create_dataset("3/gr", data=cube("gr", 0), compression="gzip")
    samples = cubes(input=file, **GROUPS)
    with pytest.raises(DataError, match="samples '0-gr' and '3-gr' have the same input.*content in different folds"):
        build(samples, {s.id: int(s.group) % 2 for s in samples})


def test_a_file_of_many_cubes_is_inspected_in_parts(tmp_path):
    source = {"kind": "cubes", "input": prepared(tmp_path / "a.h5", lambda t, s: f"{s}/{t}"), **GROUPS}
    settings = {"source": source, "folds": FOLDS, "on_nonfinite": "refuse", "tells": True}
    tables = [str(tmp_path / f"{k}.csv") for k in range(16)]
    for k, table in enumerate(tables):
        inspect_part(source, f"{k}of16").write(table)
    assert make_catalogue(settings, tables) == make_catalogue(settings, [])
    empty = next(table for table in tables if not Catalogue.read_part(table).samples)
    with pytest.raises(DataError, match="no samples"):
        Catalogue.read(empty)


def test_a_factor_multiplies_the_cubes_of_one_class_wherever_they_are_read(tmp_path):
    given = {"input": raw(tmp_path), "labels": LABELS, "redshifts": REDSHIFTS}
    plain, scaled = (catalogued(cubes(**given, factors=by)) for by in ({}, {"theory": {"newton": 0.25}}))
    for one, other in zip(plain, scaled, strict=True):
        factor = 1.0 if one.parameters["gr"] else 0.25
        np.testing.assert_array_equal(Fields().whole(other, "input"), factor * Fields().whole(one, "input"))
    means = [{row.sample: row.mean for row in moments(catalogue)} for catalogue in (plain, scaled)]
    assert means[1]["0000-newton-2"] == pytest.approx(0.25 * means[0]["0000-newton-2"], rel=1e-6)
    assert means[1]["0000-gr-2"] == means[0]["0000-gr-2"]
    scaled.write(tmp_path / "scaled.csv"), plain.write(tmp_path / "plain.csv")
    assert Catalogue.read(tmp_path / "scaled.csv") == scaled != plain == Catalogue.read(tmp_path / "plain.csv")


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_differences_of_snapshots_leave_no_linear_growth(tmp_path, compression):
    """Potentials that grow as (1 + z) D(z) leave nothing; of what they leave, each snapshot counts by its growth."""
    pattern, matter = f"{tmp_path}/{{seed}}_{{theory}}_{{snapshot}}.h5", 0.3
    scale = {text: (1 + z) * growth(z, matter) for text, z in REDSHIFTS.items()}
    for seed in range(2):
        for theory in THEORIES:
            for text in REDSHIFTS:
                late = (theory == "gr") * (text == "4") * cube("gr", seed)
                values = (scale[text] * (field((N, N, N), seed) + late)).astype("f4")
                with h5py.File(pattern.format(seed=seed, theory=theory, snapshot=text), "w") as file:
                    file.create_dataset("data", data=values, compression=compression)
    samples = cubes(input=pattern, labels=LABELS, redshifts=REDSHIFTS, difference=[10.0, 1.0], omega_m=matter)
    assert [s.id for s in samples] == ["0-gr", "0-newton", "1-gr", "1-newton"]
    catalogue = catalogued(samples)
    assert all(part.digest for sample in catalogue for part in sample.arrays) and catalogue["0-gr"].redshift == 1.0
    for sample in catalogue:
        expected = -cube("gr", int(sample.group)) if sample.parameters["gr"] else np.zeros((N, N, N))
        np.testing.assert_allclose(Fields().whole(sample, "input")[0], expected, atol=1e-5)
    rows = {row.sample: row for row in moments(catalogue)}
    assert rows["1-gr"].mean == pytest.approx(-cube("gr", 1).mean(), abs=1e-5) and rows["1-gr"].count == N**3
    catalogue.write(tmp_path / "c.csv")
    assert Catalogue.read(tmp_path / "c.csv") == catalogue


def test_standardisation_knows_the_training_folds_alone(tmp_path):
    """The original scaled by mean and variance of all seeds, those of the test included."""
    catalogue = catalogued(cubes(input=raw(tmp_path), labels=LABELS, redshifts=REDSHIFTS))
    (tmp_path / "moments").mkdir()
    write_moments(tmp_path / "moments" / "identity.csv", moments(catalogue))
    normal = {"transform": "identity", "scaling": "standardise"}
    for fold in range(2):
        training = catalogue.training(fold)
        found = of_fold({"input": normal, "target": normal}, [tmp_path / "moments" / "identity.csv"], training)
        values = np.stack([Fields().whole(sample, "input") for sample in training]).astype(float)
        assert list(found) == ["input"]
        assert found["input"]["mean"] == pytest.approx([values.mean()]) and found["input"]["std"] == pytest.approx(
            [values.std()]
        )


def test_several_classes_are_numbered(tmp_path):
    for theory in ("gr", "f5", "f6"):
        np.save(tmp_path / f"{theory}-0.npy", field((3, N, N), ord(theory[1])))
    labels = {"class": {"theory": ["gr", "f5", "f6"]}}
    samples = cubes(input=f"{tmp_path}/{{theory}}-{{seed}}.npy", labels=labels, channels=True)
    assert {s.id: s.parameters["class"] for s in samples} == {"gr-0": 0.0, "f5-0": 1.0, "f6-0": 2.0}
    assert {s.shape("input") for s in samples} == {(3, N, N)}


def test_a_table_adds_numbers(tmp_path):
    (tmp_path / "t.csv").write_text("id,A_s\n0-gr,2.1\n0-newton,2.2\n")
    for theory in THEORIES:
        np.save(tmp_path / f"0-{theory}.npy", cube(theory, 0))
    samples = cubes(input=f"{tmp_path}/{{seed}}-{{theory}}.npy", labels=LABELS, parameters=str(tmp_path / "t.csv"))
    assert {s.parameters["A_s"] for s in samples} == {2.1, 2.2} and {s.parameters["gr"] for s in samples} == {0.0, 1.0}


@pytest.mark.parametrize("options", [{"redshifts": REDSHIFTS}, {"redshifts": REDSHIFTS, "difference": [10.0, 1.0]}])
def test_many_files_are_inspected_in_parts(tmp_path, options):
    """Each part reads its own files, and all parts together are the whole."""
    source = {
        "kind": "cubes",
        "input": raw(tmp_path),
        "dataset": "data",
        "labels": LABELS,
        "difference": None,
    } | options
    known = places(source)
    whole = cubes(**{key: value for key, value in source.items() if key != "kind"})
    assert known.keys() == {s.id for s in whole}
    for sample in whole:
        assert known[sample.id] == {part.file for part in sample.arrays}
    halves = [inspect_part(source, f"{k}of2") for k in range(2)]
    assert sorted(s.id for half in halves for s in half) == sorted(known) and all(map(len, halves))
    assert places({**source, "dataset": "{theory}"}) == {}


# ---- refused

GIVEN = {"input": "{seed}.h5", "dataset": "{theory}", "labels": LABELS, "group": "seed", "redshifts": {},
         "difference": None, "factors": {}}  # fmt: skip
TWO = {"input": "{seed}_{snapshot}.h5", "redshifts": {"4": 1.0, "5": 0.0}}


@pytest.mark.parametrize("options, words", [
    ({"labels": {"gr": {"teory": "gr"}}}, r"labels.gr: no \{teory\} in input or dataset; did you mean 'theory'\?"),
    ({"labels": {"redshift": {"theory": "gr"}}}, "labels.redshift: .*; expected one word, and a name"),
    ({"input": ["{seed}.h5", "gr.h5"]}, r"group: no \{seed\} in 'gr.h5'; expected it in every pattern of input"),
    ({"group": "sed"}, r"group: no \{sed\} in input or dataset"),
    ({"factors": {"theery": {"newton": 0.9}}}, r"factors: no \{theery\}"),
    ({"redshifts": {"4": 1.0}}, r"redshifts: no \{snapshot\}"),
    ({**TWO, "difference": [5.0, 1.0]}, "difference: 5.0 is the redshift of none"),
    ({**TWO, "difference": [0.0, 1.0]}, r"difference: \[0.0, 1.0\]; expected the greater redshift first"),
    ({**TWO, "difference": [1.0, 1.0]}, r"difference: \[1.0, 1.0\]; expected the greater"),
    ({**TWO, "redshifts": {"4": 1.0, "5": 1.0}, "difference": [1.0, 0.0]}, "difference: 1.0 is .* of two snapshots"),
    ({**TWO, "redshifts": {"4": 1.0, "5": -1.0}, "difference": [1.0, -1.0]}, "difference: .* none below 0"),
    ({"labels": {"seed": {"theory": "gr"}}}, r"labels.seed: is what \{seed\} in the names tells; expected"),
    ({"labels": {"gr": {"theory": ["gr", "gr"]}}}, "labels.gr: 'gr' is two classes; expected each text once"),
])  # fmt: skip
def test_words_that_no_name_has_are_refused_at_the_door(options, words):
    with pytest.raises(ConfigError, match=words):
        check_words(GIVEN | options)


def test_seeds_that_lack_a_theory_are_named(tmp_path):
    file = prepared(tmp_path / "a.h5", lambda theory, seed: f"{theory}_{seed}")
    with h5py.File(file, "r+") as stream:
        del stream["newton_2"]
    with pytest.raises(DataError, match="seed '2' lacks newton; expected the same of every seed"):
        cubes(input=file, dataset="{theory}_{seed}", labels=LABELS)


def test_cubes_without_a_word_in_their_names_are_refused_at_the_door():
    known = dict.fromkeys(("labels", "factors", "redshifts"), {}) | {"group": None, "difference": None}
    with pytest.raises(ConfigError, match=r"input: no words in braces in it or in dataset; expected some.*{seed}"):
        check_words({"input": "a.h5", "dataset": "data", **known})


@pytest.mark.parametrize("options, words", [
    ({"input": "{theory}.h5"}, "dataset 'gr_0' has other words than the name of the file "),
    ({"dataset": "{theory}-{seed}"}, "no dataset like '{theory}-{seed}'; it holds 'gr_0', .*8 in all"),
    ({"labels": {"gr": {"theory": "GR"}}}, "labels.gr: no theory 'GR'; the names have gr, newton"),
    ({"labels": {"gr": {"theory": ["gr"]}}}, "labels.gr: theory 'newton' has no class"),
    ({"factors": {"theory": {"Newton": 0.9}}}, "factors.theory: no theory 'Newton'; the names have gr, newton"),
    ({"dataset": "{theory}_*"}, "sample id '.*' appears twice"),
])  # fmt: skip
def test_names_that_do_not_fit_are_refused(tmp_path, options, words):
    prepared(tmp_path / "a.h5", lambda theory, seed: f"{theory}_{seed}")
    options = {**options, "input": str(tmp_path / options.get("input", "a.h5"))}
    with pytest.raises(DataError, match=words):
        cubes(**{"dataset": "{theory}_{seed}", "labels": LABELS, "group": None} | options)


def test_a_cube_that_is_not_finite_is_refused_with_its_place(tmp_path):
    values = cube("gr", 0)
    values[1, 2, 3] = np.nan
    for theory in THEORIES:
        np.save(tmp_path / f"0-{theory}.npy", values if theory == "gr" else cube(theory, 0))
    samples = cubes(input=f"{tmp_path}/{{seed}}-{{theory}}.npy", labels=LABELS)
    with pytest.raises(DataError, match=r"1 values are not finite as float32, the first in channel 0 at \(1, 2, 3\)"):
        build(samples, {sample.id: 0 for sample in samples})
