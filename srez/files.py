"""Whole files or none: safe reads, atomic writes, locks, checksums, setting aside."""

import contextlib
import fcntl
import hashlib
import itertools
import os
import secrets
import stat
from pathlib import Path

MAX_BYTES = 2**28  # the largest file of a picture


def read_file(path, name=None):
    """The bytes of a file; an error calls it `name`.

    Raises:
        OSError: it isn't there, is a pipe or a device, or is larger than MAX_BYTES.
    """
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        name = printable(os.fspath(path) if name is None else name)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{name}: not a regular file")
        if status.st_size > MAX_BYTES:
            raise OSError(f"{name}: larger than {MAX_BYTES >> 20} MiB")
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def printable(text):
    """A file's name that fits a line: line ends, control and invalid characters are escaped."""
    return repr(os.fspath(text))[1:-1]


def make_folder(path):
    """Makes a folder, and the folders above it, unless they are there.

    Raises:
        OSError: it can't be made; NotADirectoryError if a file has its name.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(f"{path} is a file: give a folder") from error


@contextlib.contextmanager
def atomic_path(path):
    """Gives a temporary path next to `path`, and renames it after the block, or removes it."""
    path = Path(path).absolute()
    temporary = path.parent / f".{secrets.token_hex(8)}{path.suffix}"
    temporary.touch(exist_ok=False)
    try:
        yield str(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path, text):
    """Writes a text file as UTF-8, whole or not at all; odd file names keep their bytes.

    Raises OSError: it can't be written.
    """
    with atomic_path(path) as temporary:
        Path(temporary).write_bytes(text.encode("utf-8", "surrogateescape"))


@contextlib.contextmanager
def locked(path):
    """Opens a file, or makes it, and holds it: only one process at a time can do so.

    The lock ends with the process, however the process ends.

    Raises:
        BlockingIOError: another process holds it; `holder` is what that process wrote in the file.
    """
    with open(path, "a+") as file:
        file.seek(0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            error.holder = file.read().strip()
            raise
        yield file


def sha256(path):
    """The hex SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def to_disk(path):
    """Waits until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def set_aside(folders, but=()):
    """Renames the folders that hold something to NAME.N: the first N that is free for all.

    Files whose names are in `but` count as nothing. Returns a dict: renamed folder -> new path.
    Raises OSError: a folder can't be renamed.
    """
    # A folder may lie in another one of them, so the inner one comes first.
    paths = sorted({Path(os.path.abspath(folder)) for folder in folders}, reverse=True)
    for number in itertools.count(1):
        targets = {path: path.with_name(f"{path.name}.{number}") for path in paths}
        if not any(target.exists() for target in targets.values()):
            break
    return {
        path: path.rename(target)
        for path, target in targets.items()
        if path.is_dir() and any(inner.name not in but for inner in path.iterdir())
    }
