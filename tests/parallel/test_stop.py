import os
import signal
import types
from unittest.mock import Mock

import pytest

from srez.parallel.cluster import Stopping
from srez.run.progress import Totals


def _cluster(workers=3, is_chief=False):
    """One of several processes, the others of which wish nothing."""
    return Mock(workers=workers, is_chief=is_chief, sums=Mock(side_effect=lambda *mine: mine))


def _progress(batch, done=""):
    return types.SimpleNamespace(batch=batch, done=done, totals=Totals(100, None))


def test_one_process_stops_at_its_total_or_after_a_signal(capsys):
    before = signal.getsignal(signal.SIGINT)
    with Stopping(_cluster(workers=1)) as stopping:
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
        with Stopping(_cluster(workers=1)) as stopping:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopping.now(_progress(7))
    finally:
        signal.signal(signal.SIGHUP, before)
    with Stopping(_cluster(workers=1)) as stopping:
        os.kill(os.getpid(), signal.SIGHUP)
        assert stopping.now(_progress(7))
        assert stopping.signal == signal.SIGHUP


def test_several_processes_agree_every_ten_batches():
    cluster = _cluster()
    stopping = Stopping(cluster)
    assert [stopping.now(_progress(batch)) for batch in range(21)] == [False] * 21
    assert cluster.sums.call_count == 3
    cluster.sums.side_effect = [(0, 1, 0, 0)]  # another one got a SIGHUP
    assert not stopping.now(_progress(29))
    assert stopping.now(_progress(30))
    assert stopping.signal == signal.SIGHUP


@pytest.mark.parametrize("is_chief", [True, False])
def test_the_minutes_are_the_chiefs_to_count(is_chief):
    stopping = Stopping(_cluster(is_chief=is_chief))
    assert stopping.now(_progress(10, "trained 20 of 20 minutes")) == is_chief


def test_the_batches_are_everybodys_to_count():
    cluster = _cluster()
    assert Stopping(cluster).now(_progress(103, "trained 103 of 100 batches"))
    assert not cluster.sums.called
