"""Files in a zip, read in place: nothing is extracted, nothing that the zip says is trusted."""

import os
import stat
import struct
import zipfile
import zlib

import numpy as np

from srez_image import MAX_BYTES, printable

_LOCAL_HEADER = 30  # bytes, before the name

# What Python's zipfile raises on a damaged directory, beside OSError.
_INDEX_ERRORS = (
    zipfile.BadZipFile,
    IndexError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
    struct.error,
)


class ZipReader:
    """The files of a zip by name: `entries`, a dict of zipfile.ZipInfo.

    Symbolic links are left out. Of entries with one name the last one counts, as with unzip. Names
    are labels and no paths: an absolute one harms nobody.

    Raises:
        OSError: no whole zip; one line that names `path`.
    """

    def __init__(self, path):
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
        except (OSError, *_INDEX_ERRORS) as error:
            raise OSError(_refusal(path, error)) from error
        self.entries = {entry.filename: entry for entry in entries if not _is_link(entry)}
        # Positioned reads need no lock, so pictures are read in parallel.
        self._descriptor = os.open(path, os.O_RDONLY)
        self._size = os.fstat(self._descriptor).st_size

    def read(self, name):
        """The bytes of a file, stored or deflated, its checksum verified.

        Raises:
            OSError: it is damaged, encrypted, larger than MAX_BYTES or not as large as the zip
                says; one line that names it.
        """
        entry = self.entries[name]
        try:
            data = self._unpacked(entry)
        except zlib.error as error:
            raise OSError(f"{printable(name)}: the zip's entry is damaged ({error})") from error
        if len(data) != entry.file_size:
            raise OSError(f"{printable(name)}: the zip's entry is not as large as the zip says")
        if zlib.crc32(data) != entry.CRC:
            raise OSError(f"{printable(name)}: the zip's entry is damaged (wrong checksum)")
        return data

    def identities(self, names):
        """An int64 per name that changes with the file's content: its checksum and size."""
        entries = [self.entries[name] for name in names]
        codes = [entry.CRC << 32 | entry.file_size & 0xFFFFFFFF for entry in entries]
        return np.array(codes, np.uint64).view(np.int64)

    def _unpacked(self, entry):
        name = printable(entry.filename)
        if entry.flag_bits & 1:
            raise OSError(f"{name}: the zip's entry is encrypted")
        if max(entry.file_size, entry.compress_size) > MAX_BYTES:
            raise OSError(f"{name}: larger than {MAX_BYTES >> 20} MiB")
        data = self._packed(entry)
        if entry.compress_type == zipfile.ZIP_STORED:
            return data
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            # A byte more than announced is enough to catch a liar.
            return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, entry.file_size + 1)
        raise OSError(f"{name}: neither stored nor deflated in the zip")

    def _packed(self, entry):
        start = entry.header_offset + _LOCAL_HEADER
        if entry.header_offset >= 0 and start <= self._size:
            header = os.pread(self._descriptor, _LOCAL_HEADER, entry.header_offset)
            start += sum(struct.unpack("<HH", header[26:].rjust(4)))
            if header.startswith(b"PK\3\4") and start + entry.compress_size <= self._size:
                return os.pread(self._descriptor, entry.compress_size, start)
        raise OSError(f"{printable(entry.filename)}: the zip's entry is damaged (not in its place)")


def _is_link(entry):
    return stat.S_ISLNK(entry.external_attr >> 16)


def _refusal(path, error):
    if isinstance(error, PermissionError):
        return f"--dataset={path} can't be read: {error.strerror}"
    with open(path, "rb") as file:
        is_page = b"<html" in file.read(1024).lower()
    if is_page:
        return f"--dataset={path} is an HTML page, not a zip: download it again"
    reason = printable(str(error))
    return f"--dataset={path} is no whole zip archive ({reason}): is the download complete?"
