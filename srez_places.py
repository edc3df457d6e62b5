"""Where the bytes of a source's pictures are, as arrays: for readers that run no Python."""

import dataclasses
import os

import numpy as np

from srez_index import PART_SHIFT
from srez_parts import Zip
from srez_zip import OFFSET_BITS

_LOW_BITS = 0xFFFFFFFF


@dataclasses.dataclass(frozen=True)
class Places:
    """The P parts of a dataset and the places of its N pictures in them, by number.

    `paths` are the parts' absolute paths, bytes; `zip_sizes` [P] bytes, -1 for a folder. `part` [N]
    is each picture's part, `names` N bytes: the path below a folder, b"" in a zip. Of `entries`,
    int64 [N, 5], the columns are a zip's offset, kind (srez_zip.STORED, ...), checksum and packed
    size, and the size in bytes (a very large one: gone).
    """

    paths: list
    zip_sizes: np.ndarray
    part: np.ndarray
    names: list
    entries: np.ndarray


def find_places(parts, index, heads, identities):
    """The Places of an Index over `parts`; `heads` are how many characters to cut off its names.

    `identities` are those of a srez_source.Source: they know the sizes in folders.
    """
    part_of = index.parts().astype(np.int32)
    is_zip = np.array([isinstance(part, Zip) for part in parts])
    names = [
        b"" if is_zip[part] else os.fsencode(name[heads[part] :])
        for name, part in zip(index.names, part_of.tolist(), strict=True)
    ]
    place = index.entries["place"] & np.uint64((1 << PART_SHIFT) - 1)
    columns = [
        place & np.uint64((1 << OFFSET_BITS) - 1),
        place >> np.uint64(OFFSET_BITS),
        index.entries["crc"],
        index.entries["packed"],
        identities & _LOW_BITS,
    ]
    return Places(
        paths=[os.fsencode(_absolute(part.path)) for part in parts],
        zip_sizes=np.array([part.stamp[0] if isinstance(part, Zip) else -1 for part in parts]),
        part=part_of,
        names=names,
        entries=np.stack([column.astype(np.int64) for column in columns], axis=1),
    )


def _absolute(path):
    return path if "://" in path else os.path.abspath(path)
