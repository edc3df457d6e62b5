"""Decoded pictures, kept in memory or in one memory-mapped file that later runs use again."""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import tqdm

from srez.console import say
from srez.files import atomic_path
from srez.pictures.bad import BadImages
from srez.pictures.crop import CROP_SHAPE
from srez.pictures.load import load_crops

# The file: a header, the pixels, a byte per picture that says whether it is bad, and behind them
# why, JSON rows of [name, reason].
_HEADER = 4096  # bytes in front of the pixels in the file: JSON that says whose they are
_SPARE = 0.9  # of the free memory or disk a cache may take at most


@dataclasses.dataclass(frozen=True)
class Cache:
    """The crops of a source's pictures, uint8 [N, 144, 144, 3], and which of them are bad [N]."""

    crops: np.ndarray
    bad: np.ndarray

    def crop(self, number):
        """The crop of a picture. Raises OSError if that is bad."""
        if self.bad[number]:
            raise OSError("was found bad when the cache was made")
        return self.crops[number]


def open_cache(source, where, bad_images=None):
    """The Cache that --cache asks for: None for "none", else in "memory" or in the file `where`.

    A file made for the same pictures is used again; otherwise it is made under a temporary name
    and renamed. Says first how large it is. All pictures count as read in `bad_images`, a
    pictures.bad.BadImages, and the bad ones are noted there, whether now or by an earlier run.

    Raises:
        OSError: memory or disk is short, or the file is something else.
    """
    if where == "none":
        return None
    count = len(source.names)
    bad_images = bad_images or BadImages(count, limit=1.0)
    size = count * int(np.prod(CROP_SHAPE))
    if where == "memory":
        _refuse_if_short(size, _free_memory(), "memory")
        say(f"Cache: {size / 2**20:.0f} MiB in memory for {count} pictures.")
        cache = Cache(np.empty((count, *CROP_SHAPE), np.uint8), np.zeros(count, bool))
        _fill(cache, source, bad_images)
        return cache
    path = Path(where)
    header = _header_of(source)
    if path.exists():
        rows = _reasons(path, count) if _header(path) == header else None
        if rows is not None:
            say(f"Cache: {path}, {size / 2**20:.0f} MiB, made by an earlier run.")
            cache, reasons = _map(path, count, "r"), dict(rows)
            for number in range(count):
                bad_images.saw(number)
            for number in np.flatnonzero(cache.bad):
                bad_images.note(source.names[number], reasons[source.names[number]], number)
            return cache
        if not _header(path).startswith(b'{"srez": "cache'):
            raise OSError(f"--cache={where} is no cache of srez: give another path")
    _refuse_if_short(size, shutil.disk_usage(path.absolute().parent).free, f"disk for {path}")
    say(f"Cache: {size / 2**20:.0f} MiB in {path} for {count} pictures.")
    _make_file(path, header, source, bad_images)
    return _map(path, count, "r")


def _make_file(path, header, source, bad_images):
    count = len(source.names)
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(header.ljust(_HEADER))
            file.truncate(_pixels_end(count) + count)
        cache = _map(temporary, count, "r+")
        _fill(cache, source, bad_images)
        for array in (cache.crops, cache.bad):
            array.flush()
        reasons = dict(bad_images.rows)
        names = [source.names[number] for number in np.flatnonzero(cache.bad)]
        with open(temporary, "ab") as file:
            file.write(json.dumps([[name, reasons[name]] for name in names]).encode())


def _fill(cache, source, bad_images):
    with tqdm.tqdm(total=len(cache.bad), unit="picture", disable=None) as bar:
        for numbers, crops, bad in load_crops(source, range(len(cache.bad)), bad_images):
            cache.crops[numbers], cache.bad[numbers] = crops, bad
            bar.update(len(numbers))


def _map(path, count, mode):
    crops = np.memmap(path, np.uint8, mode, _HEADER, (count, *CROP_SHAPE))
    return Cache(crops, np.memmap(path, bool, mode, _pixels_end(count), (count,)))


def _pixels_end(count):
    return _HEADER + count * int(np.prod(CROP_SHAPE))


def _header_of(source):
    contents = hashlib.sha256(source.identities.astype("<i8").tobytes()).hexdigest()[:16]
    fields = {"srez": "cache 2", "fingerprint": source.fingerprint, "contents": contents}
    return json.dumps(fields).encode()


def _header(path):
    with open(path, "rb") as file:
        return file.read(_HEADER).rstrip()


def _reasons(path, count):
    """The rows [name, reason] of a file's bad pictures, or None if it isn't whole."""
    with open(path, "rb") as file:
        file.seek(_pixels_end(count))
        bad, rows = file.read(count), file.read()
    try:
        rows = json.loads(rows)
    except ValueError:
        return None
    return rows if len(rows) == sum(bad) else None


def _refuse_if_short(size, free, what):
    if size > _SPARE * free:
        raise OSError(
            f"--cache needs {size / 2**20:.0f} MiB and there are {free / 2**20:.0f} MiB of free "
            f"{what}: make room, or use --cache=none"
        )


def _free_memory():
    """Bytes that can be had without swapping; on systems that don't tell, half of the memory."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        rows = (line.split() for line in meminfo.read_text().splitlines())
        return next(int(row[1]) * 1024 for row in rows if row[0] == "MemAvailable:")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
