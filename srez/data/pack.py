"""Packs many pictures into a few zips, shards, which are quick to list, copy and read."""

import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import os
import stat
import threading
import zipfile
from pathlib import Path

import tqdm

from srez import files
from srez.console import command, counted, say
from srez.data.parts import PARTITION, is_picture
from srez.data.source import open_source
from srez.pictures.bad import BadImages, NoPictures
from srez.pictures.image import check_picture

# For `sha256sum -c`: the shards' checksums in the folder, and in each shard those of its pictures.
SUMS = "SHA256SUMS"
ABOUT = "pack.json"  # in the folder: whose shards these are

# Bytes that a picture takes in a shard in addition to its own: a header in front of it, another
# one in the directory, and its line in the list of checksums. All three hold its name.
_HEADERS, _NAMED = 144, 3
_ENDING = 512  # bytes for the ends of directory and list
_SIZE_BITS = 0xFFFFFFFF  # of an identity
_THREADS = 8  # at most: they read, compute checksums and write, none of which needs Python's lock
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r"})  # in the lists of checksums


def pack(dataset, output, shard_mb):
    """Packs the pictures of `dataset` into zips output/faces-00000.zip and up, untouched.

    They are in the order of their names, stored as they are, up to `shard_mb` MiB in a shard.
    output/SHA256SUMS gets the shards' SHA-256, and a file of that name in each shard gets the
    pictures'. CelebA's list of the split is copied. Whole shards that are there already stay. A new
    one is written under another name, then renamed. A file that can't be read, or that is no whole
    picture by its header and its end, is left out and named on stderr; the next run tries it again.

    Raises:
        OSError: no pictures; `output` can't be written.
        FileExistsError: in `output` are shards of other pictures, or cut in another way.
    """
    if "://" in output:
        raise OSError(f"--pack_output={output} is remote: pack into a folder here, then copy it")
    source = open_source(dataset)
    _refuse_bad_names(source)
    shards = _shards(source, (shard_mb << 20) - _ENDING)
    folder = Path(output)
    files.make_folder(folder)
    with _claimed(folder, source, shard_mb):
        digests = _pack_all(source, folder, shards)
        if source.partition is not None:
            files.write_text(folder / PARTITION, source.partition)
            digests[PARTITION] = files.sha256(folder / PARTITION)
        files.write_text(folder / SUMS, _lines(digests))
    words = f"--run train --dataset '{folder}/faces-*.zip'"
    say(f"The pictures of {source.label} are in {counted(len(shards), 'shard')}. To train on them:")
    say(f"  {command(words)}")


def _pack_all(source, folder, shards):
    """Writes the shards that aren't there, several at a time; returns name -> SHA-256."""
    sums, digests = folder / SUMS, {}
    lines = sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else []
    known = {line[66:]: line[:64] for line in lines}  # what an earlier run wrote
    lock, stopped = threading.Lock(), threading.Event()

    def advance(count):
        if stopped.is_set():
            raise concurrent.futures.CancelledError
        with lock:
            bar.update(count)

    def job(name, numbers):
        path = folder / name
        if _is_whole(path, known.get(name), len(numbers)):
            advance(len(numbers))
            return known[name]
        return _write_shard(source, path, numbers, advance)

    with (
        tqdm.tqdm(total=len(source.names), unit=" pictures", disable=None) as bar,
        concurrent.futures.ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as pool,
    ):
        jobs = {pool.submit(job, *shard): shard[0] for shard in shards.items()}
        try:
            for done in concurrent.futures.as_completed(jobs):
                digests[jobs[done]] = done.result()
                # The next run knows what is whole, whatever happens to this one.
                files.write_text(sums, _lines(known | digests))
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    return {name: digests[name] for name in shards}


def _is_whole(path, digest, count):
    """Whether a file is a shard of `count` pictures with this SHA-256."""
    if not path.is_file() or files.sha256(path) != digest:
        return False
    with zipfile.ZipFile(path) as archive:
        return len(archive.namelist()) == count + 1  # one for the checksums


def _write_shard(source, path, numbers, advance):
    """Writes a shard under another name and renames it; returns its SHA-256."""
    path = files.behind_links(path)
    temporary = path.with_name(f".{path.name}.writing")
    digests, bad_images = {}, BadImages(len(numbers), limit=1.0)
    try:
        with zipfile.ZipFile(temporary, "w") as archive:
            for number in numbers:
                name = source.names[number]
                with bad_images.noting(number, name):
                    data = source.read(number)
                    check_picture(data, name)
                if not bad_images.is_bad(number):
                    archive.writestr(_entry(name), data)
                    digests[name] = hashlib.sha256(data).hexdigest()
                advance(1)
            archive.writestr(_entry(SUMS), _lines(digests))
        files.to_disk(temporary)
        digest = files.sha256(temporary)
        os.replace(temporary, path)
        return digest
    except NoPictures:
        raise
    except OSError as error:
        raise OSError(f"{path} can't be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def _entry(name):
    # Its date is 1980, and it is stored: so a shard's bytes are the same each time.
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    return entry


def _shards(source, most):
    """The shards, of up to `most` bytes: name -> range of the pictures' numbers.

    A picture whose size is too large or unknown will be left out, so it takes no room.
    """
    cuts, filled = [0], 0
    sizes = (source.identities & _SIZE_BITS).tolist()
    for number, (name, size) in enumerate(zip(source.names, sizes, strict=True)):
        room = size + _HEADERS + _NAMED * len(name.encode()) if size <= files.MAX_BYTES else 0
        if number > cuts[-1] and filled + room > most:
            cuts.append(number)
            filled = 0
        filled += room
    digits = max(len(str(len(cuts) - 1)), 5)  # the same for all, so that they sort
    bounds = itertools.pairwise([*cuts, len(source.names)])
    return {f"faces-{shard:0{digits}d}.zip": range(*bound) for shard, bound in enumerate(bounds)}


def _refuse_bad_names(source):
    """Raises OSError if a name isn't UTF-8, or would count as hidden in a zip."""
    for name in source.names:
        if not is_picture(name) or name.encode(errors="ignore").decode() != name:
            raise OSError(
                f"{files.printable(name)} can't be packed under this name: rename it, or give "
                "--dataset by a path without .. and hidden folders"
            )


@contextlib.contextmanager
def _claimed(folder, source, shard_mb):
    """Notes in `folder` whose shards it holds; until the end of the block no other pack enters."""
    facts = {"pictures": len(source.names), "names": source.fingerprint}
    text = json.dumps(facts | {"contents": source.contents, "shard_mb": shard_mb}) + "\n"
    try:
        with files.locked(folder / ABOUT) as file:
            old = file.read()
            if old != text and (old or any(folder.glob("faces-*.zip"))):
                raise FileExistsError(
                    f"--pack_output={folder} holds shards of other pictures, or cut by another "
                    "--shard_mb: give another folder, or remove it"
                )
            if not old:
                _refuse_replacing(folder, source)
                file.write(text)
                file.flush()
            yield
    except BlockingIOError as error:
        raise FileExistsError(f"--pack_output={folder}: another pack writes to it") from error


def _refuse_replacing(folder, source):
    """Raises OSError if a new pack would go over files that are no pack's."""
    there = [folder / SUMS] if (folder / SUMS).exists() else []
    list_here = folder / PARTITION
    if source.partition is not None and list_here.exists():
        there += [] if list_here.read_text(errors="replace") == source.partition else [list_here]
    if there:
        raise FileExistsError(
            f"{there[0]} is there, and no pack wrote it: give another --pack_output"
        )


def _lines(digests):
    """Lines as sha256sum writes them, from name -> SHA-256."""
    lines = []
    for name, digest in digests.items():
        escaped = name.translate(_ESCAPES)
        mark = "\\" if escaped != name else ""
        lines.append(f"{mark}{digest}  {escaped}\n")
    return "".join(lines)
