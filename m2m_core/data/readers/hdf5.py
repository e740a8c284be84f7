"""Reader of HDF5 datasets: contiguous ones by memory map at their offset, chunked ones slice by slice through h5py."""

import math
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from ...errors import DataError
from ...registry import register
from . import Header, accept, file_size, named, printable
from .npy import mapped

__all__ = ["Chunked", "Hdf5"]

LARGEST_CHUNK = 128 * 2**20  # bytes: one value costs the memory of its whole chunk
CACHE = 2**20  # bytes of chunks that an open dataset keeps; many are open, and HDF5 2 would keep 8 MiB of each
LISTED = 20
FEW = 16
CHECKSUM = 4  # bytes that fletcher32 adds to a chunk
NUMBERS = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM)
ATTRIBUTES = ("box_size", "redshift", "omega_m", "periodic")


@register("reader", "hdf5")
class Hdf5:
    """Datasets of HDF5 files; nothing that lies outside the file itself is ever followed."""

    suffixes = (".h5", ".hdf5", ".hdf")

    @staticmethod
    def headers(path: str, datasets: list[str]) -> list[Header]:
        """The headers, checked: all values were written and stand inside this file."""
        size = file_size(path)
        with named(path, "HDF5 file"), h5py.File(path, "r") as file:
            _complete(path, file)
            return [_header(path, file, name, size) for name in datasets]

    @staticmethod
    def names(path: str) -> list[str]:
        """The paths of all datasets of a file; links are not followed."""
        file_size(path)
        with named(path, "HDF5 file"), h5py.File(path, "r") as file:
            return _names(file)

    @staticmethod
    def attributes(path: str, datasets: list[str], words: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The file's box_size, redshift, omega_m and periodic, the quantity of each dataset, and `words` of either."""
        file_size(path)
        with named(path, "HDF5 file"), h5py.File(path, "r") as file:
            common = _attributes(path, file, (*ATTRIBUTES, *words))
            return [common | _attributes(path, _dataset(path, file, name), ("quantity", *words)) for name in datasets]

    @staticmethod
    def open(path: str, dataset: str = "") -> Any:
        """The array (channels, *space), mapped where it stands in one piece."""
        header = Hdf5.headers(path, [dataset])[0]
        return Chunked(path, dataset) if header.offset is None else mapped(path, header)


class Chunked:
    """A chunked dataset, (channels, *space): a slice reads and checks only the chunks that it touches."""

    def __init__(self, path: str, dataset: str) -> None:
        self.path = path
        with named(path, "HDF5 file"):
            self.file = h5py.File(path, "r", rdcc_nbytes=CACHE)
            self.values = self.file[dataset]
        self.shape, self.dtype = self.values.shape, self.values.dtype
        self.chunks = self.values.chunks or self.shape

    def __getitem__(self, key: Any) -> np.ndarray:
        with named(self.path, "HDF5 dataset"):
            return self.values[key]

    def __len__(self) -> int:
        return self.shape[0]

    def __del__(self) -> None:
        if getattr(self, "file", None):
            self.file.close()


def _attributes(path: str, item: h5py.Group | h5py.Dataset, names: tuple[str, ...]) -> dict[str, Any]:
    found = [name for name in names if name in item.attrs]
    for name in found:
        _check_attribute(path, name, item.attrs.get_id(name))
    return {name: item.attrs[name] for name in found}


def _check_attribute(path: str, name: str, attribute: h5py.h5a.AttrID) -> None:
    """Only plain numbers and texts are read: HDF5 crashes on other kinds in a damaged file."""
    kind = attribute.get_type()
    text = isinstance(kind, h5py.h5t.TypeStringID)
    if math.prod(attribute.shape) > FEW or not (text or kind.get_class() in NUMBERS):
        raise DataError(f"{printable(path)}: attribute {name!r} is neither a few numbers nor a text")


def _header(path: str, file: h5py.File, name: str, size: int) -> Header:
    values = _dataset(path, file, name)
    _complete(path, values)
    accept(path, values.shape, values.dtype)
    offset = _offset(path, values, size)
    return Header(tuple(map(int, values.shape)), values.dtype.str, offset, size)


def _dataset(path: str, file: h5py.File, name: str) -> h5py.Dataset:
    """Walk to the dataset link by link, so that no link out of the file is ever opened."""
    found: Any = file
    for step in filter(None, name.split("/")):
        link = found.get(step, getlink=True) if isinstance(found, h5py.Group) else None
        if link is None:
            raise DataError(f"{printable(path)}: no dataset {name!r}; it holds {_listing(file)}")
        if not isinstance(link, h5py.HardLink):
            raise DataError(f"{printable(path)}: {name!r} is an external or soft link; expected the dataset itself")
        found = found[step]
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{printable(path)}: {name!r} is a group, not a dataset; it holds {_listing(file)}")
    if found.external or found.is_virtual:
        raise DataError(f"{printable(path)}: {name!r} keeps its values in other files (external or virtual): refused")
    return found


def _listing(file: h5py.File) -> str:
    return ", ".join(map(repr, _names(file, LISTED))) or "no datasets"


def _names(file: h5py.File, most: float = math.inf) -> list[str]:
    names: list[str] = []

    def visit(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset):
            names.append(name)
        return True if len(names) >= most else None

    file.visititems(visit)
    return names


def _offset(path: str, values: h5py.Dataset, size: int) -> int | None:
    """Where the values stand in one piece, or None; a dataset that was not written to its end is refused."""
    if values.chunks is not None:
        _check_chunks(path, values, size, _check_filters(path, values))
        return None
    if values.id.get_create_plist().get_layout() == h5py.h5d.COMPACT:
        return None
    offset = values.id.get_offset()
    if offset is None:
        raise DataError(f"{printable(path)}: {values.name!r} was never written (no storage in the file)")
    end = offset + values.nbytes
    if end > size or values.id.get_storage_size() < values.nbytes:
        raise DataError(f"{printable(path)}: {values.name!r} is cut short: {size} bytes found, {end} expected")
    return offset


def _check_chunks(path: str, values: h5py.Dataset, size: int, packed: bool) -> None:
    """All chunks are there and hold what they should of this file: HDF5 crashes on a chunk that claims few bytes."""
    where = f"{printable(path)}: {values.name!r}"
    if (chunk := math.prod(values.chunks) * values.dtype.itemsize) > LARGEST_CHUNK:
        raise DataError(f"{where} has chunks of {chunk} bytes; expected at most {LARGEST_CHUNK}: rewrite it")
    stored: list[Any] = []
    values.id.chunk_iter(stored.append)
    wanted = math.prod(-(-n // c) for n, c in zip(values.shape, values.chunks, strict=True))
    if len(stored) < wanted:
        raise DataError(f"{where} is partially written: {len(stored)} of {wanted} chunks")
    for one in stored:
        fits = one.size > CHECKSUM if packed else one.size in (chunk, chunk + CHECKSUM)
        if not fits or one.byte_offset + one.size > size:
            raise DataError(f"{where} is damaged: a chunk of {one.size} bytes at {one.byte_offset} cannot be")


def _check_filters(path: str, values: h5py.Dataset) -> bool:
    """Whether the chunks are compressed; DataError when a filter is not installed."""
    filters = values.id.get_create_plist()
    numbers = {filters.get_filter(i)[0] for i in range(filters.get_nfilters())}
    for number in sorted(numbers):
        if not h5py.h5z.filter_avail(number):
            raise DataError(f"{printable(path)}: {values.name!r} is packed by filter {number}, which is not installed")
    return bool(numbers - {h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32})


def _complete(path: str, item: h5py.Group | h5py.Dataset) -> None:
    if not np.array_equal(_attributes(path, item, ("complete",)).get("complete", 1), 1):
        raise DataError(f"{printable(path)}: partially written: its attribute 'complete' is not 1")
