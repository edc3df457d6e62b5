import zipfile

import numpy as np
import pytest

from srez_zip import ZipReader
from tests.odd_files import zipped


def test_files_are_read_by_name_whatever_their_packing(tmp_path):
    entries = [("a.jpg", b"first"), ("b/ü.jpg", b"second" * 99), ("empty", b"")]
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        reader = ZipReader(zipped(tmp_path / "a.zip", entries, packing))
        assert {name: reader.read(name) for name in reader.entries} == dict(entries)


def test_a_zip_behind_something_else_is_read(tmp_path):
    path = zipped(tmp_path / "a.zip", [("a.jpg", b"first")])
    path.write_bytes(b"a program that unpacks itself" * 9 + path.read_bytes())
    assert ZipReader(path).read("a.jpg") == b"first"


def test_a_zip_cut_off_while_it_is_read_is_damaged(tmp_path):
    path = zipped(tmp_path / "a.zip", [("a.jpg", b"first" * 99), ("b.jpg", b"second" * 99)])
    reader = ZipReader(path)
    for size in (200, 40, 10, 0):
        path.write_bytes(path.read_bytes()[:size])
        for name in reader.entries:
            with pytest.raises(OSError, match=f"^{name}: the zip's entry is"):
                reader.read(name)


def test_identities_change_with_the_content(tmp_path):
    contents = [b"first", b"firsT", b"first" + bytes(9), b"", b"first"]
    entries = [(str(number), content) for number, content in enumerate(contents)]
    reader = ZipReader(zipped(tmp_path / "a.zip", entries))
    found = reader.identities([name for name, _ in entries])
    assert found.dtype == np.int64
    assert len(set(found.tolist())) == 4
    assert found[0] == found[4]
