import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

import srez_main
from srez.parallel.cluster import Cluster
from srez.parallel.launch import free_ports, launch
from srez.run.checkpoint import batch_of, newest_checkpoint, read_run
from tests.conftest import ROOT, SMALL, train_arguments

PROGRAM = [sys.executable, "-m", "tests.replicas"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What tests.replicas finds under each strategy, by its name."""
    folder = tmp_path_factory.mktemp("replicas")
    paths = {name: folder / f"{name}.npz" for name in ("none", "mirrored", "multi_worker")}
    environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    for name in ("none", "mirrored"):
        command = [*PROGRAM, name, paths[name]]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("http_proxy", "http://127.0.0.1:1")  # nobody is there
        assert launch([*PROGRAM, "multi_worker", str(paths["multi_worker"])], 2) == 0
    return {name: dict(np.load(path)) for name, path in paths.items()}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["original", "modern"])
@pytest.mark.parametrize("name", ["mirrored", "multi_worker"])
def test_ten_steps_in_float64_are_those_of_one_replica(found, name, recipe):
    one, two = found["none"], found[name]
    np.testing.assert_allclose(two[f"{recipe}_losses"], one[f"{recipe}_losses"], rtol=1e-4)
    for network in ("generator", "discriminator", "average"):
        key = f"{recipe}_weights_{network}"
        difference = two[key] - one[key]
        assert np.abs(difference).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mirrored", "multi_worker"])
def test_without_synchronisation_the_moving_statistics_are_averaged(found, name):
    one, two = found["none"]["statistics"], found[name]["statistics"]
    assert (found[name]["copies_differ"] == 0).all()
    difference = np.abs(two - one)
    assert difference.max() > 1e-7  # variances over two pictures are other ones
    assert np.median(difference) < 0.05 * np.median(np.abs(one))


@pytest.mark.slow
def test_numbers_are_added_up_over_processes_not_over_replicas(found):
    assert found["none"]["sums"].tolist() == [1, 0]
    assert found["mirrored"]["sums"].tolist() == [1, 0]
    assert found["multi_worker"]["sums"].tolist() == [3, 0]


@contextlib.contextmanager
def _crew(faces):
    """Starts a training of two workers; gives the launcher's process, and kills it at the end."""
    flags = {"workers": 2, "batch_size": 2, "checkpoint_period": 5, "checkpoint_minutes": 0}
    arguments = train_arguments(faces, train_batches=10**5, **flags)
    command = [sys.executable, SMALL, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, text=True, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for(process, text):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return
    raise AssertionError("".join(lines))


def _worker(launcher, index):
    """A worker's process number. The launcher's first children are the workers, in order."""
    children = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    return int(children.split()[index])


@pytest.mark.slow
def test_workers_stop_together_outlive_none_and_go_on_with_any_number(here, faces, small, capsys):
    # SIGTERM to one worker ends both at the same batch, saved.
    with _crew(faces) as launcher:
        _wait_for(launcher, "Batch [  10]")
        os.kill(_worker(launcher, 1), signal.SIGTERM)
        out, _ = launcher.communicate(timeout=120)
    assert launcher.returncode == 143, out
    saved = int(re.search(r"^\[0\] Saved at batch (\d+): the same command", out, re.M)[1])
    assert newest_checkpoint("checkpoint").name == f"batch{saved:06d}"

    # After SIGKILL to one the other ends within a minute, and names it.
    with _crew(faces) as launcher:
        _wait_for(launcher, "Resuming from checkpoint/batch")
        _wait_for(launcher, "Progress")
        os.kill(_worker(launcher, 1), signal.SIGKILL)
        start = time.monotonic()
        out, _ = launcher.communicate(timeout=120)
    assert time.monotonic() - start < 60
    assert launcher.returncode == 128 + signal.SIGKILL
    assert re.search(r"^\[0\] srez: gone: worker 1 \(localhost:\d+\)\. So worker 0 ends", out, re.M)
    newest = newest_checkpoint("checkpoint")
    assert batch_of(newest) > saved

    # One process alone goes on from there.
    total = batch_of(newest) + 2
    arguments = train_arguments(faces, batch_size=2, train_batches=total)
    assert srez_main.main(["srez_main.py", *arguments]) == 0
    assert f"Resuming from {newest}" in capsys.readouterr().out
    last = newest_checkpoint("checkpoint")
    assert last.name == f"batch{total:06d}"
    assert read_run(last)["files"]["names"] == read_run(newest)["files"]["names"]


def test_one_process_is_one_replica_and_the_chief(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    cluster = Cluster("auto")
    assert (cluster.name, cluster.replicas, cluster.is_chief) == ("none", 1, True)
    assert cluster.share(16) == (0, 16)
    assert cluster.from_chief(7) == 7
    assert str(cluster) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "needs TF_CONFIG in the environment"),
        ("{", "TF_CONFIG={ is no cluster of workers"),
        ('{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}', "no cluster"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "no cluster"),
    ],
)
def test_a_wrong_tf_config_is_one_line(monkeypatch, text, words):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(OSError, match=re.escape(words)):
        Cluster("multi_worker")


def test_workers_speak_to_each_other_through_no_proxy(monkeypatch):
    monkeypatch.setattr("tensorflow.distribute.MultiWorkerMirroredStrategy", Mock())
    monkeypatch.setenv("no_grpc_proxy", "elsewhere")
    task = {"type": "worker", "index": 0}
    cluster = {"worker": ["node1:2222", "[fe80::1]:2222"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    Cluster("multi_worker")
    assert os.environ["no_grpc_proxy"] == "node1,fe80::1"  # noqa: SIM112, gRPC reads it so


@pytest.fixture
def third(monkeypatch):
    """The last of three workers, without a strategy of its own."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    cluster = Cluster("none")
    cluster.workers = cluster.replicas = 3
    cluster.index = 2
    cluster._addresses = [f"localhost:{port}" for port in free_ports(3)]
    return cluster


def test_each_process_has_its_places_of_a_batch(third):
    assert third.share(12) == (8, 12)
    third.check(12, False, "none")


@pytest.mark.parametrize(
    ("batch_size", "jit_compile", "cache", "words"),
    [
        (16, False, "none", "--batch_size=16 can't be shared out evenly among 3 replicas"),
        (12, True, "none", "--jit_compile is for one replica, and there are 3"),
        (12, False, "memory", "--cache=memory holds all pictures, and each of the 3"),
    ],
)
def test_options_that_do_not_go_with_three_processes_are_refused(
    third, batch_size, jit_compile, cache, words
):
    with pytest.raises(OSError, match=words):
        third.check(batch_size, jit_compile, cache)


def test_only_the_chief_speaks(third, capsys):
    with third.only_the_chief_speaks():
        print("hello")
    assert capsys.readouterr().out == ""


def test_pictures_have_to_be_the_same_everywhere(third, monkeypatch):
    monkeypatch.setattr(third, "from_chief", lambda number: number)
    third.check_the_same("00ff", "pictures")
    monkeypatch.setattr(third, "from_chief", lambda number: number + 1)
    with pytest.raises(OSError, match="worker 2 sees other pictures than worker 0"):
        third.check_the_same("00ff", "pictures")
