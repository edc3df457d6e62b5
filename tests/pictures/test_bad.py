import concurrent.futures
import json

import pytest

from srez.pictures.bad import BadImages, NoPictures


def _ledger(total=5000, limit=0.05, seen=0, bad=0):
    ledger = BadImages(total, limit)
    for number in range(seen):
        ledger.saw(number)
    for number in range(bad):
        ledger.note(f"{number:03d}.jpg", "cut off")
    return ledger


def test_a_bad_picture_is_said_once_and_counts_once(capsys):
    ledger = _ledger()
    ledger.note("a.jpg", "empty")
    ledger.note("a.jpg", "cut off")
    assert ledger.rows == [("a.jpg", "empty")]
    assert capsys.readouterr().err == "srez: left out, a.jpg: empty\n"


def test_the_text_has_a_line_per_picture_whatever_its_name(capsys):
    ledger = _ledger()
    ledger.note("a\nb\tc\x1b\\.jpg", "odd\r\nreason")
    ledger.note("é 'x'.jpg", "empty")
    ledger.note("\udcff.jpg", "empty")
    assert ledger.text() == (
        r"a\nb\tc\x1b\\.jpg" + "\t" + r"odd\r\nreason" + "\né 'x'.jpg\tempty\n\\udcff.jpg\tempty\n"
    )
    ledger.text().encode()
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_restored_rows_are_known_but_neither_said_nor_counted(capsys):
    ledger = _ledger(seen=2000)
    rows = [("\udcff.jpg", "empty"), *((f"{number}.jpg", "empty") for number in range(500))]
    ledger.restore(json.loads(json.dumps(rows)))
    assert ledger.rows == sorted(rows)
    ledger.note("3.jpg", "empty")
    ledger.check()
    assert capsys.readouterr().err == ""


def test_bad_ones_restored_count_when_this_run_meets_them():
    ledger = _ledger(seen=1000)
    ledger.restore([(f"{number}.jpg", "empty") for number in range(60)])
    for number in range(60):
        ledger.note(f"{number}.jpg", "empty")
    with pytest.raises(OSError, match="60 of the 1000"):
        ledger.check()


@pytest.mark.parametrize(
    ("total", "limit", "seen", "bad", "too_many"),
    [
        (5000, 0.05, 999, 999, False),  # not judged yet
        (5000, 0.05, 1000, 50, False),
        (5000, 0.05, 1000, 51, True),
        (5000, 0.05, 4000, 200, False),
        (24, 0.05, 23, 23, False),
        (24, 0.05, 24, 1, False),
        (24, 0.05, 24, 2, True),
        (10, 0.0, 10, 1, True),
        (10, 1.0, 10, 10, False),
    ],
)
def test_more_than_the_share_is_too_many_once_enough_were_read(total, limit, seen, bad, too_many):
    ledger = _ledger(total, limit, seen, bad)
    if not too_many:
        return ledger.check()
    with pytest.raises(OSError) as caught:
        ledger.check()
    message = str(caught.value)
    assert f"{bad} of the {seen} pictures" in message
    assert f"--max_bad_images={100 * limit:g} percent" in message
    assert "000.jpg (cut off)" in message
    assert "\n" not in message


def test_a_picture_read_twice_counts_once():
    ledger = _ledger(total=1000, bad=1)
    for _ in range(1000):
        ledger.saw(7)
    ledger.check()


def test_many_threads_may_use_it(capsys):
    ledger = BadImages(800, 0.5)

    def work(_):
        for number in range(400):
            ledger.saw(number)
            ledger.note(f"{number}.jpg", "empty")
            assert ledger.rows

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(ledger.rows) == 400
    assert len(capsys.readouterr().err.splitlines()) == 400


def test_that_no_picture_can_be_read_is_no_fault_of_one():
    bad = BadImages(3, limit=1.0)
    with pytest.raises(NoPictures), bad.noting(0, "a.jpg"):
        raise NoPictures("the folder is gone")
    assert bad.rows == []
    assert not bad.is_bad(0)
