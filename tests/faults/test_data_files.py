"""Faults of data files: each ends as one DataError that names the file, before anything is trained, and none hangs."""

import contextlib
import os
import pickle
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from m2m_core.data.catalogue import build
from m2m_core.data.fields import Fields
from m2m_core.data.readers import header, open_array
from m2m_core.data.sources import hdf5, inventory, npy
from m2m_core.errors import DataError
from tests.data.making import catalogue, field, h5, pairs

NOBODY = 65534


def refused(path, text, dataset=""):
    """Both doors refuse it, in one line that names the file."""
    for door in (header, open_array):
        with pytest.raises(DataError, match=text) as caught:
            door(path, dataset)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def paired(folder, array):
    """Candidates of one sample whose input and target are `array`."""
    for name in ("x", "y"):
        np.save(folder / f"{name}_a.npy", array)
    return npy(input=f"{folder}/x_*.npy", target=f"{folder}/y_*.npy")


@contextlib.contextmanager
def nobody():
    """Root may read everything; nobody may not."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.fixture
def public():
    """A folder that nobody may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


# ---- .npy


@pytest.mark.parametrize("suffix, dataset", [(".npy", ""), (".h5", "data")])
def test_d1_empty(tmp_path, suffix, dataset):
    path = tmp_path / f"a{suffix}"
    path.touch()
    refused(path, "the file is empty", dataset)


@pytest.mark.parametrize("size", [4, 8, 9, 40, 127, 128, 1000, -1])
def test_d2_cut(tmp_path, size):
    path = tmp_path / "a.npy"
    np.save(path, field())
    size %= path.stat().st_size
    os.truncate(path, size)
    refused(path, f"{size} bytes found, {128 + field().nbytes} expected" if size >= 128 else "a.npy: ")
    if 10 <= size < 128:
        refused(path, f"cut short: {size} bytes found, more than 118 expected")


def test_d3_trailing_garbage(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, field((1, 2, 2)))
    with open(path, "ab") as stream:
        stream.write(bytes(70))
    refused(path, "followed by other bytes: 214 bytes found, 144 expected")


def test_d4_zeros(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(bytes(4096))
    refused(path, "not a readable .npy array")


def test_d4_a_zero_tail_is_seen_by_the_digest(tmp_path):
    found = catalogue(tmp_path)
    path = tmp_path / "input" / "0.npy"
    data = path.read_bytes()
    path.write_bytes(data[:-4096] + bytes(4096))
    with pytest.raises(DataError, match="input/0.npy: damaged: sha256"):
        Fields().verify(found["0"])


def test_d5_one_bit(tmp_path):
    found = catalogue(tmp_path)
    path = tmp_path / "target" / "3.npy"
    data = bytearray(path.read_bytes())
    data[200] ^= 4
    path.write_bytes(data)
    with pytest.raises(DataError, match="target/3.npy: damaged: sha256"):
        Fields().verify(found["3"])


@pytest.mark.parametrize("shape", ["(1099511627776,1)", "(8589934592, 8589934592)", "(-3, 8)", "(True,)", "(2, 2.0)"])
def test_d7_forged_shapes(tmp_path, shape):
    path = tmp_path / "a.npy"
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(96))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refused(path, "a.npy: ")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # [kB]


def test_d7_a_header_without_end(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little") + b"{" * 100_000)
    refused(path, "not a readable .npy array")
    path.write_bytes(b"\x93NUMPY\x01\x00" + (9000).to_bytes(2, "little") + b"(" * 9000)
    refused(path, "not a readable .npy array")


class Payload:
    """A pickle that leaves a trace when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_d8_objects_and_pickles(tmp_path):
    trace = tmp_path / "PWNED"
    np.save(tmp_path / "object.npy", np.array([[Payload(trace)]], dtype=object), allow_pickle=True)
    refused(tmp_path / "object.npy", "object arrays are refused; expected float16, float32")
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Payload(trace)))
    refused(tmp_path / "pickle.npy", "not a readable .npy array")
    assert not trace.exists()


def test_d9_other_contents(tmp_path):
    np.savez(tmp_path / "archive.npz", a=field())
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    refused(tmp_path / "archive.npy", "an .npz archive of several arrays; expected one .npy array")
    for name, data in (("text", b"one two three"), ("image", b"\x89PNG\r\n\x1a\n" + bytes(64))):
        (tmp_path / f"{name}.npy").write_bytes(data)
        refused(tmp_path / f"{name}.npy", "not a readable .npy array")
        (tmp_path / f"{name}.h5").write_bytes(data)
        refused(tmp_path / f"{name}.h5", "not a readable HDF5 file", "data")
    with pytest.raises(DataError, match=r"a.fits: no reader for '.fits'; expected one of .h5, .hdf, .hdf5, .npy"):
        header(tmp_path / "a.fits")


@pytest.mark.parametrize("suffix", [".npy", ".h5"])
def test_d9_not_regular(tmp_path, suffix):
    made = {name: tmp_path / f"{name}{suffix}" for name in ("directory", "FIFO", "socket", "device")}
    made["directory"].mkdir()
    os.mkfifo(made["FIFO"])
    made["device"].symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(made["socket"]))
        for kind, path in made.items():
            refused(path, f"a {kind}; expected a regular file", "" if suffix == ".npy" else "data")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_d10_not_finite(tmp_path, value):
    array = field((3, 6, 6, 6))
    array[2, 1, 4, 5] = value
    found = paired(tmp_path, array)
    with pytest.raises(DataError, match=r"x_a.npy: 1 values .* first in channel 2 at \(1, 4, 5\).*on_nonfinite: mask"):
        build(found, {"a": 0})
    allowed = build(found, {"a": 0}, on_nonfinite="mask")
    assert allowed["a"].fields["input"][0].nonfinite == 1
    with pytest.raises(DataError, match="x_a.npy: 1 values are not finite"):
        Fields().whole(allowed["a"], "input")
    assert np.isfinite(Fields(mask=True).whole(allowed["a"], "input")).sum() == array.size - 1


DTYPES = [("c8", "complex64"), ("?", "bool"), ("U3", "<U3"), ("S3", "|S3"), ("M8[s]", "datetime"), ("g", "float128")]


@pytest.mark.parametrize("dtype, name", [*DTYPES, ("f4,i4", r"\[\('f0'")])
def test_d12_dtypes(tmp_path, dtype, name):
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 3), dtype))
    accepted = "is refused; expected float16, float32, float64, int8 to int64, uint8 to uint64"
    refused(tmp_path / "a.npy", f"dtype {name}.*{accepted}")


@pytest.mark.parametrize("dtype", ["c8", "?", "S3", "f4,i4", "O"])
def test_d12_dtypes_of_hdf5(tmp_path, dtype):
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.create_dataset("data", (2, 3, 3), h5py.string_dtype() if dtype == "O" else dtype)
    refused(tmp_path / "a.h5", "expected float16, float32, float64", "data")


@pytest.mark.parametrize("dtype", ["f8", "i2", "u1", "f2", ">f4", ">i8"])
def test_d13_d14_cast_once_to_native_float32(tmp_path, dtype):
    array = (40 * np.abs(field())).astype(dtype)
    found = paired(tmp_path, array)
    values = Fields().whole(found[0], "input")
    assert values.dtype == np.dtype("=f4") and np.array_equal(values, array.astype("f4"))


def test_d13_overflow(tmp_path):
    array = field((1, 4, 4), dtype="f8")
    array[0, 3, 3] = -1e300
    with pytest.raises(DataError, match=r"x_a.npy: 1 values are not finite as float32, .* at \(3, 3\)"):
        build(paired(tmp_path, array), {"a": 0})
    with np.errstate(over="ignore"):
        narrow = (1e6 * field((1, 4, 4))).astype("f2")
    with pytest.raises(DataError, match="x_a.npy: .* not finite"):
        build(paired(tmp_path, narrow), {"a": 0})


@pytest.mark.parametrize("shape", [(3, 7), (2, 5, 9), (1, 3, 5, 7)])
def test_d15_d16_any_order_odd_sizes_and_dimensions(tmp_path, shape):
    array = field(shape)
    crop = [n // 2 for n in shape[1:]]
    expected = Fields().block(paired(tmp_path, array)[0], "input", crop, shape[1:])
    found = paired(tmp_path, np.asfortranarray(array))
    assert np.array_equal(Fields().block(found[0], "input", crop, shape[1:]), expected)


def test_d17_channels_last(tmp_path):
    with pytest.raises(DataError, match=r"shape \(8, 8, 8, 3\): looks channels-last; expected \(3, 8, 8, 8\)"):
        build(paired(tmp_path, field((8, 8, 8, 3))), {"a": 0})


@pytest.mark.parametrize("shape", [(), (4,), (1, 1, 1, 1, 1)])
def test_d18_too_few_or_too_many_axes(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.ones(shape))
    h5(tmp_path / "a.h5", data=np.ones(shape))
    for path in (tmp_path / "a.npy", tmp_path / "a.h5"):
        refused(path, r"expected \(channels, \*space\) with 1 to 3 axes", "" if path.suffix == ".npy" else "data")


@pytest.mark.parametrize("shape", [(0, 4), (3, 0, 4), (3, 4, 0)])
def test_d18_no_values(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.ones(shape))
    h5(tmp_path / "a.h5", data=np.ones(shape))
    for path in (tmp_path / "a.npy", tmp_path / "a.h5"):
        refused(path, "expected every axis to hold at least one value", "" if path.suffix == ".npy" else "data")


def test_d19_shapes_disagree(tmp_path):
    np.save(tmp_path / "x_a.npy", field((1, 64, 64)))
    np.save(tmp_path / "y_a.npy", field((1, 120, 120)))
    found = npy(input=f"{tmp_path}/x_*.npy", target=f"{tmp_path}/y_*.npy")
    with pytest.raises(DataError, match=r"y_a.npy .*x_a.npy .*ratio 1.875 x 1.875"):
        build(found, {"a": 0})


# ---- sets of files


def test_d20_unpaired(tmp_path):
    section = pairs(tmp_path, 9)
    for n in (0, 1, 2, 3, 4, 5, 7):
        (tmp_path / "target" / f"{n}.npy").unlink()
    (tmp_path / "input" / "8.npy").unlink()
    with pytest.raises(DataError, match=r"input lacks 8; target lacks 0, 1, 2, 3, 4, ... \(7 in all\); expected every"):
        npy(**section)


def test_d20_pairs_are_made_by_id(tmp_path):
    for n, (x, y) in enumerate([("9", "10"), ("10", "9")]):
        np.save(tmp_path / f"x_{x}.npy", field((1, 2, 2), n))
        np.save(tmp_path / f"yy_{y}.npy", field((1, 2, 2), 10 - n))
    for here in npy(input=f"{tmp_path}/x_*.npy", target=f"{tmp_path}/yy_*.npy"):
        assert [parts[0].file.split("_")[-1] for parts in here.fields.values()] == [f"{here.id}.npy"] * 2


@pytest.mark.parametrize(
    "names", [("x/a.npy", "y/a.npy"), ("x/a.npy", "x/a.h5"), ("x/a.npy", "x/A.npy"), ("x/\u00e9.npy", "x/e\u0301.npy")]
)
def test_d21_the_same_id_twice(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    patterns = [f"{tmp_path}/x/*", *([f"{tmp_path}/y/*"] if (tmp_path / "y").exists() else [])]
    with pytest.raises(DataError, match=r"sample id '.*' appears twice in input: .* and .*; expected") as caught:
        npy(input=patterns, target=patterns)
    assert all(str(tmp_path / name) in str(caught.value) for name in names)


UNSAFE = ["a b", "a'; touch PWNED", "a\n0", "\x1b[2J", "=cmd", "-a", "é", "x" * 129, "a$b", "..a"]


@pytest.mark.parametrize("name", UNSAFE)
def test_ids_are_safe_names(tmp_path, name):
    (tmp_path / f"x_{name}.npy").write_bytes(b"x")
    with pytest.raises(DataError, match="sample id .* expected") as caught:
        npy(input=f"{tmp_path}/x_*.npy", target=f"{tmp_path}/x_*.npy")
    assert str(caught.value).isprintable()


def test_d22_the_same_content_in_two_folds(tmp_path):
    section = pairs(tmp_path, 2)
    shutil.copy(tmp_path / "target" / "0.npy", tmp_path / "target" / "1.npy")
    with pytest.raises(DataError, match="'0' and '1' have the same target: .*duplicate content in different folds"):
        build(npy(**section), {"0": 0, "1": 1})
    assert "duplicate content" in build(npy(**section), {"0": 1, "1": 1}).warnings[0]


def test_d23_patterns_that_match_no_files(tmp_path):
    (tmp_path / "folder.npy").mkdir()
    for pattern, text in [
        (f"{tmp_path}/none/*.npy", f"pattern '{tmp_path}/none/[*].npy' in the folder {tmp_path}/none: no such file"),
        (f"{tmp_path}/none.npy", f"in the folder {tmp_path}: no such file"),
        (f"{tmp_path}/*.npy", f"folder.npy: a folder; pattern .* in the folder {tmp_path} must match regular files"),
    ]:
        for look in (lambda p: npy(input=p, target=p), lambda p: inventory({"input": p, "target": p})):
            with pytest.raises(DataError, match=text):
                look(pattern)


@pytest.mark.parametrize("target, text", [("gone.npy", "a symbolic link to nothing"), ("link.npy", "in a circle")])
def test_d23_links(tmp_path, target, text):
    link = tmp_path / "link.npy"
    link.symlink_to(tmp_path / target)
    refused(link, text)
    with pytest.raises(DataError, match="link.npy: not a regular file, or a link to none; pattern"):
        npy(input=f"{tmp_path}/*.npy", target=f"{tmp_path}/*.npy")


@pytest.mark.parametrize("suffix, dataset", [(".npy", ""), (".h5", "data")])
def test_d24_permission_denied(public, suffix, dataset):
    path = public / f"a{suffix}"
    np.save(path, field()) if suffix == ".npy" else h5(path, data=field())
    path.chmod(0)
    with nobody():
        refused(path, "permission denied", dataset)
    path.chmod(0o644)
    with nobody():
        assert header(path, dataset).shape == (3, 8, 8, 8)


def test_d24_folder_denied(public):
    section = pairs(public)
    (public / "input").chmod(0)
    with nobody(), pytest.raises(DataError, match="/input: permission denied"):
        npy(**section)


def test_d25_a_file_disappears(tmp_path):
    found, fields = catalogue(tmp_path), Fields(limit=1)
    fields.whole(found["0"], "input")
    (tmp_path / "input" / "0.npy").unlink()
    fields.whole(found["0"], "input")  # still mapped
    fields.whole(found["1"], "input")
    with pytest.raises(DataError, match="input/0.npy: no such file"):
        fields.whole(found["0"], "input")


def test_d26_replaced_by_an_older_file(tmp_path):
    section = pairs(tmp_path)
    before, found = inventory(section), build(npy(**section), dict.fromkeys("0123", 0))
    path = tmp_path / "input" / "0.npy"
    np.save(path, field(seed=77))
    os.utime(path, (10**9, 10**9))
    assert inventory(section) != before
    again = build(npy(**section), dict.fromkeys("0123", 0))
    assert again["0"].fields["input"][0].digest != found["0"].fields["input"][0].digest
    assert again["1"] == found["1"]


def test_w6_a_file_from_the_future(tmp_path):
    section = pairs(tmp_path)
    path = tmp_path / "target" / "2.npy"
    now = path.stat().st_mtime
    os.utime(path, (now, now + 0.5 * 86400))
    inventory(section)
    os.utime(path, (now, now + 3 * 86400))
    with pytest.raises(DataError, match="target/2.npy: its time of change is 3 days ahead: check the clock"):
        inventory(section)


# ---- HDF5


@pytest.mark.parametrize("libver", ["latest", "earliest"])
@pytest.mark.parametrize("size", [8, 100, 0.5, -1, -4096])
def test_d28_truncated(tmp_path, libver, size):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file["data"] = field((3, 16, 16, 16))
    whole = path.stat().st_size
    os.truncate(path, int(size * whole) if isinstance(size, float) else size % whole)
    refused(path, "not a readable HDF5 file|cut short", "data")


def test_d29_missing_dataset(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["one/psi"], file["two"] = field((1, 2)), field((1, 2))
    refused(tmp_path / "a.h5", "no dataset 'tow'; it holds 'one/psi', 'two'", "tow")
    refused(tmp_path / "a.h5", "no dataset 'two/psi'; it holds 'one/psi', 'two'", "two/psi")
    refused(tmp_path / "a.h5", "'one' is a group, not a dataset; it holds 'one/psi', 'two'", "one")
    refused(tmp_path / "a.h5", "'' is a group, not a dataset; it holds", "")
    np.save(tmp_path / "a.npy", field())
    refused(tmp_path / "a.npy", "a .npy file has no dataset 'psi' inside", "psi")


def test_d30_partially_written(tmp_path):
    path = h5(tmp_path / "a.h5", {"complete": 0}, data=field())
    refused(path, "partially written: its attribute 'complete' is not 1", "data")
    h5(path, {"complete": 1}, data=field())
    assert header(path, "data").shape == (3, 8, 8, 8)
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("data", (3, 8, 8), "f4")
        file.create_dataset("chunked", (1, 8, 8), "f4", chunks=(1, 4, 4))[0, :4] = 1
    refused(path, "'/data' was never written", "data")
    refused(path, "'/chunked' is partially written: 2 of 4 chunks", "chunked")


def test_d31_a_flipped_bit_in_a_chunk(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        values = file.create_dataset("data", data=field(), chunks=(1, 8, 8, 8), fletcher32=True)
        place = values.id.get_chunk_info(1).byte_offset
    data = bytearray(path.read_bytes())
    data[place + 100] ^= 1
    path.write_bytes(data)
    array = open_array(path, "data")
    assert np.array_equal(array[0], field()[0])
    with pytest.raises(DataError, match="a.h5: not a readable HDF5 dataset"):
        array[1]


def test_d33_open_for_writing_elsewhere(tmp_path):
    path = h5(tmp_path / "a.h5", data=field())
    script = f"import h5py; f = h5py.File({str(path)!r}, 'a', libver='latest'); print('open', flush=True); input()"
    writer = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"open\n"
    refused(path, "open for writing in another process, or left so by one that died", "data")
    writer.communicate(b"\n")
    assert header(path, "data").shape == (3, 8, 8, 8)


def test_d33_a_writer_that_died(tmp_path):
    path = h5(tmp_path / "a.h5", data=field())
    script = f"import h5py, os; f = h5py.File({str(path)!r}, 'a', libver='latest'); f.swmr_mode = True; os._exit(1)"
    subprocess.run([sys.executable, "-c", script], check=False)
    refused(path, "left so by one that died .then: h5clear -s", "data")


def test_d34_links_out_of_the_file(tmp_path):
    h5(tmp_path / "other.h5", data=field())
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file["data"] = h5py.ExternalLink("other.h5", "data")
        file["folder"] = h5py.ExternalLink("other.h5", "/")
        file["soft"] = h5py.SoftLink("/data")
        file.create_dataset("raw", (4, 4), "u1", external=[("/etc/passwd", 0, 16)])
        layout = h5py.VirtualLayout((3, 8, 8, 8), "f4")
        layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "data", (3, 8, 8, 8))
        file.create_virtual_dataset("virtual", layout)
    for name, text in [
        ("data", "an external or soft link"),
        ("folder/data", "an external or soft link"),
        ("soft", "an external or soft link"),
        ("raw", r"keeps its values in other files \(external or virtual\): refused"),
        ("virtual", r"keeps its values in other files \(external or virtual\): refused"),
    ]:
        refused(tmp_path / "a.h5", text, name)


@pytest.mark.parametrize("options", [{}, {"chunks": (1, 64, 64, 64), "compression": "gzip"}])
def test_d35_a_huge_claim(tmp_path, options):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("data", (1, 2**14, 2**13, 2**13), "f4", **options)
    assert path.stat().st_size < 10_000
    refused(path, "was never written|partially written: 0 of", "data")


def bomb(path, chunk, count):
    """`count` chunks of zeros: gigabytes in a file of some hundred kilobytes."""
    import zlib

    packed = zlib.compress(bytes(4 * int(np.prod(chunk))))
    with h5py.File(path, "w", libver="latest") as file:
        shape = (chunk[0], chunk[1] * count, *chunk[2:])
        values = file.create_dataset("data", shape, "f4", chunks=chunk, compression="gzip")
        for n in range(count):
            values.id.write_direct_chunk((0, n * chunk[1], 0, 0), packed)


def test_d36_a_compressed_bomb(tmp_path):
    path = tmp_path / "a.h5"
    bomb(path, (1, 16, 512, 1024), 320)  # 10 GB
    assert path.stat().st_size < 20e6
    here = hdf5(input=str(path), target=str(path), datasets={"input": "data", "target": "data"})[0]
    child = os.fork()
    if not child:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        block = Fields().block(here, "input", (-8, 100, 100), (48, 48, 48))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os._exit(0 if block.shape == (1, 48, 48, 48) and not block.any() and grown < 300_000 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_d36_one_giant_chunk(tmp_path):
    bomb(tmp_path / "a.h5", (1, 256, 512, 512), 1)
    refused(tmp_path / "a.h5", "has chunks of 268435456 bytes; expected at most 134217728", "data")


def test_a_name_that_breaks_lines(tmp_path):
    path = tmp_path / "a\n\x1b[2J.npy"
    path.touch()
    with pytest.raises(DataError, match="the file is empty") as caught:
        header(path)
    assert str(caught.value).isprintable() and repr(str(path)) in str(caught.value)
