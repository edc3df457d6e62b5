import os
import signal
import types

import pytest

from srez.parallel.cluster import Stopping
from srez.run.progress import Totals


class _Cluster:
    """The second of three processes, whose numbers are added to the `others`'."""

    def __init__(self, workers=3, is_chief=False):
        self.workers = workers
        self.is_chief = is_chief
        self.others = (0, 0, 0, 0)
        self.calls = []

    def sums(self, *numbers):
        self.calls.append(numbers)
        return [int(mine) + other for mine, other in zip(numbers, self.others, strict=True)]


def _progress(batch, done=""):
    return types.SimpleNamespace(batch=batch, done=done, totals=Totals(100, None))


def test_one_process_stops_at_its_total_or_after_a_signal(capsys):
    before = signal.getsignal(signal.SIGINT)
    with Stopping(_Cluster(workers=1)) as stopping:
        assert not stopping.now(_progress(7))
        assert stopping.now(_progress(7, "trained 20 of 20 minutes"))
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping.now(_progress(7))
        assert stopping.signal == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL  # a second one ends the process
    assert "a second Ctrl-C leaves at once" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) == before


def test_a_hangup_that_was_ignored_from_the_start_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stopping(_Cluster(workers=1)) as stopping:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopping.now(_progress(7))
    finally:
        signal.signal(signal.SIGHUP, before)
    with Stopping(_Cluster(workers=1)) as stopping:
        os.kill(os.getpid(), signal.SIGHUP)
        assert stopping.now(_progress(7))
        assert stopping.signal == signal.SIGHUP


def test_several_processes_agree_every_ten_batches():
    cluster = _Cluster()
    stopping = Stopping(cluster)
    assert [stopping.now(_progress(batch)) for batch in range(21)] == [False] * 21
    assert len(cluster.calls) == 3
    cluster.others = (0, 1, 0, 0)
    assert not stopping.now(_progress(29))
    assert stopping.now(_progress(30))
    assert stopping.signal == signal.SIGHUP


@pytest.mark.parametrize("is_chief", [True, False])
def test_the_minutes_are_the_chiefs_to_count(is_chief):
    stopping = Stopping(_Cluster(is_chief=is_chief))
    assert stopping.now(_progress(10, "trained 20 of 20 minutes")) == is_chief


def test_the_batches_are_everybodys_to_count():
    cluster = _Cluster()
    assert Stopping(cluster).now(_progress(103, "trained 103 of 100 batches"))
    assert cluster.calls == []
