"""Packs many pictures into a few zips, shards, which are quick to list, copy and read."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import stat
import threading
import zipfile
from pathlib import Path

import numpy as np
import tqdm

from srez.console import complain, say
from srez.data.parts import PARTITION, is_picture
from srez.data.source import open_source
from srez.files import MAX_BYTES, locked, make_folder, printable, sha256, to_disk, write_text
from srez.pictures.image import check_picture

# As `sha256sum -c` takes it: in the folder those of the shards, in a shard those of its pictures.
SUMS = "SHA256SUMS"
ABOUT = "pack.json"  # whose shards lie in the folder

# Bytes that a picture takes in a shard beside its own: a header in front of it, another one in the
# directory, and its line in the list of checksums. Its name stands in all three.
_HEADERS, _NAMED = 144, 3
_ENDING = 512  # bytes for the ends of directory and list
_SIZE_BITS = 0xFFFFFFFF  # of an identity
_THREADS = 8  # at most: they read, compute checksums and write, which needs no lock of Python's


def pack(dataset, output, shard_mb):
    """Packs the pictures of `dataset` into zips output/faces-00000.zip and up, untouched.

    In the order of their names, stored as they are, up to `shard_mb` MiB each. Writes the shards'
    SHA-256 to output/SHA256SUMS, and the pictures' to a file of that name in each shard; copies
    CelebA's list of the split. Shards that are there already and whole stay; each is written under
    another name and renamed. Files that can't be read, or are no whole pictures by their header
    and their end, are left out and named on stderr; the next run tries them again.

    Raises:
        OSError: no pictures; `output` can't be written.
        FileExistsError: in `output` are shards of other pictures, or cut in another way.
    """
    if "://" in output:
        raise OSError(f"--pack_output={output} is remote: pack into a folder here, then copy it")
    source = open_source(dataset)
    _refuse_bad_names(source)
    cuts = _cuts(_room(source), (shard_mb << 20) - _ENDING)
    folder = Path(output)
    make_folder(folder)
    with _claimed(folder, source, shard_mb):
        names = _shard_names(len(cuts) - 1)
        digests = _pack_all(source, folder, names, cuts)
        if source.partition is not None:
            write_text(folder / PARTITION, source.partition)
            digests[PARTITION] = sha256(folder / PARTITION)
        write_text(folder / SUMS, _lines(digests))
    say(
        f"The pictures of {source.label} are in {len(names)} shards: "
        f"train with --dataset '{folder}/faces-*.zip'."
    )


def _pack_all(source, folder, names, cuts):
    """Writes the shards that aren't there, several at a time; returns name -> SHA-256."""
    known, digests = _read_sums(folder / SUMS), {}
    lock, stopped = threading.Lock(), threading.Event()

    def advance(count):
        if stopped.is_set():
            raise concurrent.futures.CancelledError
        with lock:
            bar.update(count)

    def job(name, first, end):
        path = folder / name
        if _is_whole(path, known.get(name), end - first):
            advance(end - first)
            return known[name]
        return _write_shard(source, path, range(first, end), advance)

    with (
        tqdm.tqdm(total=len(source.names), unit="picture", disable=None) as bar,
        concurrent.futures.ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool,
    ):
        bounds = zip(names, cuts[:-1].tolist(), cuts[1:].tolist(), strict=True)
        jobs = {pool.submit(job, *bound): bound[0] for bound in bounds}
        try:
            for done in concurrent.futures.as_completed(jobs):
                digests[jobs[done]] = done.result()
                # What is whole is known to the next run, whatever happens to this one.
                write_text(folder / SUMS, _lines(known | digests))
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    return {name: digests[name] for name in names}


def _is_whole(path, digest, count):
    """Whether it is a shard with this SHA-256 of so many pictures."""
    if not path.is_file() or sha256(path) != digest:
        return False
    with zipfile.ZipFile(path) as archive:
        return len(archive.namelist()) == count + 1  # and their checksums


def _write_shard(source, path, numbers, advance):
    """Writes a shard under another name and renames it; returns its SHA-256."""
    temporary = path.with_name(f".{path.name}.writing")
    digests = {}
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            for number in numbers:
                name = source.names[number]
                try:
                    data = source.read(number)
                    check_picture(data, name)
                except OSError as error:
                    reason = (error.strerror or str(error)).removeprefix(f"{printable(name)}: ")
                    complain(f"left out, {printable(name)}: {reason}")
                else:
                    archive.writestr(_entry(name), data)
                    digests[name] = hashlib.sha256(data).hexdigest()
                advance(1)
            archive.writestr(_entry(SUMS), _lines(digests))
        to_disk(temporary)
        digest = sha256(temporary)
        os.replace(temporary, path)
        return digest
    except OSError as error:
        raise OSError(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _entry(name):
    entry = zipfile.ZipInfo(name)  # of 1980 and stored, so a shard's bytes are the same each time
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


def _room(source):
    """The bytes that each picture takes in a shard, an int64 array.

    Whose size is too large for a picture, or unknown, is left out, and so takes none.
    """
    sizes = source.identities & _SIZE_BITS
    lengths = np.array([len(name.encode("utf-8", "replace")) for name in source.names])
    room = sizes + _HEADERS + _NAMED * lengths
    return np.where(sizes > MAX_BYTES, 0, room)


def _cuts(room, most):
    """Where shards of up to `most` bytes begin among pictures of that room, and the last's end."""
    ends = np.cumsum(room)
    cuts = [0]
    while cuts[-1] < len(room):
        before = int(ends[cuts[-1] - 1]) if cuts[-1] else 0
        fitting = int(np.searchsorted(ends, before + most, side="right"))
        cuts.append(max(fitting, cuts[-1] + 1))
    return np.array(cuts)


def _shard_names(count):
    digits = max(len(str(count - 1)), 5)  # the same for all, so that they sort
    return [f"faces-{number:0{digits}d}.zip" for number in range(count)]


def _refuse_bad_names(source):
    """Raises OSError if a name isn't UTF-8, or would be taken for a hidden one in a zip."""
    for name in source.names:
        try:
            good = is_picture(name) and name.encode()
        except UnicodeEncodeError:
            good = False
        if not good:
            raise OSError(
                f"{printable(name)} can't be packed under this name: rename it, or give --dataset "
                "by a path without .. and hidden folders"
            )


@contextlib.contextmanager
def _claimed(folder, source, shard_mb):
    """Enters in `folder` whose shards are in it, and keeps other processes off meanwhile."""
    facts = {"pictures": len(source.names), "names": source.fingerprint}
    text = json.dumps(facts | {"contents": source.contents, "shard_mb": shard_mb}) + "\n"
    try:
        with locked(folder / ABOUT) as file:
            old = file.read()
            if old != text and (old or any(folder.glob("faces-*.zip"))):
                raise FileExistsError(
                    f"--pack_output={folder} holds shards of other pictures, or cut by another "
                    "--shard_mb: give another folder, or remove it"
                )
            if not old:
                file.write(text)
                file.flush()
            yield
    except BlockingIOError as error:
        raise FileExistsError(f"--pack_output={folder}: another pack writes to it") from error


def _lines(digests):
    """Lines as sha256sum writes them, of name -> SHA-256."""
    return "".join(_line(name, digest) for name, digest in digests.items())


def _line(name, digest):
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{chr(92) * (escaped != name)}{digest}  {escaped}\n"


def _read_sums(path):
    """name -> SHA-256 of the shards that an earlier run wrote."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return {line[66:]: line[:64] for line in lines}
