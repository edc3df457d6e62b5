import json
import threading

import pytest

from srez.pictures.bad import BadImages


def _ledger(total=5000, limit=0.05, seen=0, bad=0):
    ledger = BadImages(total, limit)
    for number in range(seen):
        ledger.saw(number)
    for number in range(bad):
        ledger.note(f"{number:03d}.jpg", "cut off")
    return ledger


def test_a_bad_picture_is_said_once_and_counts_once(capsys):
    ledger = BadImages(10, 0.5)
    ledger.note("a.jpg", "empty")
    ledger.note("a.jpg", "cut off")
    assert ledger.rows == [("a.jpg", "empty")]
    assert capsys.readouterr().err == "srez: left out, a.jpg: empty\n"


def test_rows_are_sorted_by_name():
    ledger = BadImages(10, 0.5)
    for name in ("b", "c", "a"):
        ledger.note(name, "empty")
    assert [name for name, _ in ledger.rows] == ["a", "b", "c"]


def test_the_text_has_a_line_per_picture_whatever_its_name(capsys):
    ledger = BadImages(10, 0.5)
    ledger.note("a\nb\tc\x1b\\.jpg", "odd\r\nreason")
    ledger.note("é 'x'.jpg", "empty")
    ledger.note("\udcff.jpg", "empty")
    assert ledger.text().split("\n") == [
        r"a\nb\tc\x1b\\.jpg" + "\t" + r"odd\r\nreason",
        "é 'x'.jpg\tempty",
        "\\udcff.jpg\tempty",
        "",
    ]
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
    ("total", "seen", "bad", "is_too_many"),
    [
        (5000, 999, 999, False),  # not judged yet
        (5000, 1000, 50, False),
        (5000, 1000, 51, True),
        (5000, 4000, 200, False),
        (24, 23, 23, False),
        (24, 24, 1, False),
        (24, 24, 2, True),
    ],
)
def test_more_than_the_share_is_too_many_once_enough_were_read(total, seen, bad, is_too_many):
    ledger = _ledger(total, seen=seen, bad=bad)
    if not is_too_many:
        return ledger.check()
    with pytest.raises(OSError) as caught:
        ledger.check()
    message = str(caught.value)
    assert f"{bad} of the {seen} pictures" in message
    assert "--max_bad_images=5 percent" in message
    assert "000.jpg (cut off)" in message
    assert "\n" not in message


def test_a_limit_of_0_allows_none_and_of_1_all():
    with pytest.raises(OSError, match="--max_bad_images=0 percent"):
        _ledger(total=10, limit=0.0, seen=10, bad=1).check()
    _ledger(total=10, limit=1.0, seen=10, bad=10).check()


def test_a_picture_read_twice_counts_once():
    ledger = _ledger(total=1000, seen=0, bad=1)
    for _ in range(1000):
        ledger.saw(7)
    ledger.check()


def test_many_threads_may_use_it(capsys):
    ledger = BadImages(800, 0.5)

    def work():
        for number in range(400):
            ledger.saw(number)
            ledger.note(f"{number}.jpg", "empty")
            assert ledger.rows

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ledger.rows) == 400
    assert len(capsys.readouterr().err.splitlines()) == 400
