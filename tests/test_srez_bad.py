import pytest

from srez_bad import BadImages


def test_a_bad_picture_is_said_once_and_kept_with_its_first_reason(capsys):
    ledger = BadImages(10, 0.5)
    ledger.note("b.jpg", OSError("b.jpg: empty"))
    ledger.note("b.jpg", "b.jpg: something else")
    ledger.note("a.jpg", "a.jpg: cut off")
    assert capsys.readouterr().err.count("b.jpg") == 1
    assert ledger.rows == [["a.jpg", "a.jpg: cut off"], ["b.jpg", "b.jpg: empty"]]


def test_rows_are_taken_up_again_in_silence(capsys):
    ledger = BadImages(10, 0.5)
    ledger.restore([["a.jpg", "cut off"]])
    ledger.note("a.jpg", "cut off")
    assert ledger.rows == [["a.jpg", "cut off"]]
    assert capsys.readouterr().err == ""


def test_the_text_has_a_line_for_each_whatever_its_name():
    ledger = BadImages(10, 0.5)
    ledger.restore([["a\nb\x1b.jpg", "not\ta picture"], ["\udce9é.jpg", "empty"]])
    assert ledger.text() == "a\\nb\\x1b.jpg\tnot\\ta picture\n\\udce9é.jpg\tempty\n"
    ledger.text().encode()


def _judge(total, read, bad, limit):
    ledger = BadImages(total, limit)
    for number in range(read):
        ledger.saw(number)
        ledger.saw(number)  # again, in a later epoch
    ledger.restore([[f"{number:04d}.jpg", "empty"] for number in range(bad)])
    ledger.check()


@pytest.mark.parametrize(
    ("total", "read", "bad"), [(5000, 999, 900), (5000, 1000, 50), (20, 20, 1), (20, 19, 19)]
)
def test_a_few_bad_ones_or_too_early_a_judgement_stop_nothing(total, read, bad):
    _judge(total, read, bad, limit=0.05)


@pytest.mark.parametrize(("total", "read", "bad"), [(5000, 1000, 51), (20, 20, 2)])
def test_too_many_bad_ones_stop_a_run(total, read, bad):
    expected = f"{bad} of {read} pictures .* --max_bad_images=5 percent; the first is '0000.jpg'"
    with pytest.raises(OSError, match=expected):
        _judge(total, read, bad, limit=0.05)
