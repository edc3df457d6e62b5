"""Keeps decoded pictures in memory, or in one memory-mapped file that later runs use again."""

import contextlib
import dataclasses
import itertools
import json
import math
import shutil
from pathlib import Path

import numpy as np
import tqdm

from srez.console import say
from srez.files import atomic_path
from srez.pictures.bad import BadImages
from srez.pictures.pairs import CROP_SHAPE, load_crops

try:
    import resource
except ImportError:  # Windows
    resource = None

# The file: a header, the pixels, a byte per picture that says whether it is bad, and at the end the
# reasons, JSON rows of [name, reason].
_CROP_BYTES = math.prod(CROP_SHAPE)
_HEADER = 4096  # bytes before the pixels in the file: JSON that says which pictures they are of
_CGROUP = Path("/sys/fs/cgroup")  # where Linux tells a container's limits
_LIMITS = ("max", "current"), ("limit_in_bytes", "usage_in_bytes")  # there, by the version
_MAX_SHARE = 0.9  # of the free memory or disk that a cache may take


@dataclasses.dataclass(frozen=True)
class Cache:
    """The crops of a source's pictures, uint8 [N, 144, 144, 3], and which of them are bad [N]."""

    crops: np.ndarray
    bad: np.ndarray

    def crop(self, number):
        """Gives the crop of a picture. Raises OSError if the picture is bad."""
        if self.bad[number]:
            raise OSError("was found bad when the cache was made")
        return self.crops[number]


def open_cache(source, where, bad_images=None):
    """Gives the Cache that --cache asks for: in "memory" or in the file `where`; None for "none".

    A file made for the same pictures is used again; otherwise it is made under a temporary name
    and renamed. First it says how large it is. All pictures count as read in `bad_images`, a
    pictures.bad.BadImages, and all bad ones are noted there, even if an earlier run found them.
    Raises OSError if memory or disk is short, or if the file is something else.
    """
    if where == "none":
        return None
    count = len(source.names)
    bad_images = bad_images or BadImages(count, limit=1.0)
    if where == "memory":
        _announce(count, "memory", _free_memory(), "memory")
        crops = np.empty((count, *CROP_SHAPE), np.uint8)
        return Cache(crops, _fill(crops, source, bad_images))
    path = Path(where)
    cache = _opened_again(where, source, bad_images) if path.exists() else None
    if cache is None:
        free = shutil.disk_usage(path.absolute().parent).free
        _announce(count, path, free, f"disk for {path}")
        cache = _made(path, source, bad_images)
    return cache


def _opened_again(where, source, bad_images):
    """Opens the cache in a file; gives None if it is of other pictures or isn't whole."""
    count = len(source.names)
    with open(where, "rb") as file:
        header = file.read(_HEADER).rstrip()
        if not header.startswith(b'{"srez": "cache'):
            raise OSError(f"--cache={where} is no cache of srez: give another path")
        if header != _header_of(source):
            return None
        file.seek(_HEADER + count * _CROP_BYTES)
        bad, rows = np.frombuffer(file.read(count), bool), file.read()
    try:
        reasons = dict(json.loads(rows))
    except ValueError:
        return None
    if len(reasons) != bad.sum():
        return None
    say(f"Cache: {Path(where)}, {count * _CROP_BYTES / 2**20:.0f} MiB, made by an earlier run.")
    for number, name in enumerate(source.names):
        bad_images.saw(number)
        if bad[number]:
            bad_images.note(name, reasons[name], number)
    return Cache(_map(where, count, "r"), bad)


def _made(path, source, bad_images):
    count = len(source.names)
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as file:
            file.write(_header_of(source).ljust(_HEADER))
            file.truncate(_HEADER + count * _CROP_BYTES)
        crops = _map(temporary, count, "r+")
        bad = _fill(crops, source, bad_images)
        crops.flush()
        reasons = dict(bad_images.rows)
        rows = [[name, reasons[name]] for name in itertools.compress(source.names, bad)]
        with open(temporary, "ab") as file:
            file.write(bad.tobytes() + json.dumps(rows).encode())
    return Cache(_map(path, count, "r"), bad)


def _fill(crops, source, bad_images):
    """Loads all pictures into `crops`; gives which of them are bad [N]."""
    bad = np.zeros(len(crops), bool)
    with tqdm.tqdm(total=len(crops), unit=" pictures", disable=None) as bar:
        for numbers, *loaded in load_crops(source, range(len(crops)), bad_images):
            crops[numbers], bad[numbers] = loaded
            bar.update(len(numbers))
    return bad


def _map(path, count, mode):
    return np.memmap(path, np.uint8, mode, _HEADER, (count, *CROP_SHAPE))


def _header_of(source):
    fields = {"srez": "cache 2", "fingerprint": source.fingerprint, "contents": source.contents}
    return json.dumps(fields).encode()


def _announce(count, where, free, what):
    """Says how large the cache will be. Raises OSError if more is needed than is free."""
    size = count * _CROP_BYTES
    if size > _MAX_SHARE * free:
        raise OSError(
            f"--cache needs {size / 2**20:.0f} MiB and there are {free / 2**20:.0f} MiB of free "
            f"{what}: make room, or use --cache=none"
        )
    say(f"Cache: {size / 2**20:.0f} MiB in {where} for {count} pictures.")


def _free_memory():
    """Bytes that are free without swapping, by all limits; infinite where nobody tells."""
    free = [max(most - used, 0) for most, used in [*_container_limits(), *_process_limits()]]
    with contextlib.suppress(OSError):
        free.append(_kilobytes("/proc/meminfo")["MemAvailable"] * 1024)
    return min(free, default=math.inf)


def _container_limits():
    """Yields (limit, used) in bytes, of the control groups that this process is in."""
    folders = {_CGROUP}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kind, path = line.split(":", 2)
            if kind in ("", "memory"):  # version 2 and version 1
                folder = _CGROUP / kind / path.lstrip("/")
                folders |= {folder, *folder.parents}
    for folder, names in itertools.product(folders, _LIMITS):
        with contextlib.suppress(OSError, ValueError):  # the limit may be "max"
            yield tuple(int((folder / f"memory.{name}").read_text()) for name in names)


def _process_limits():
    """Yields (limit, used) in bytes, of what `ulimit` limits."""
    if resource is None:
        return
    with contextlib.suppress(OSError):
        used = _kilobytes("/proc/self/status")
        for limit, name in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
            most, _ = resource.getrlimit(limit)
            if most != resource.RLIM_INFINITY:
                yield most, used[name] * 1024


def _kilobytes(path):
    """The lines NAME: NUMBER kB of a file of Linux' as a dict."""
    rows = (line.split() for line in Path(path).read_text().splitlines())
    return {row[0].rstrip(":"): int(row[1]) for row in rows if row[2:] == ["kB"]}
