import ast
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from srez.parallel.launch import free_ports, launch
from tests.conftest import ROOT, run_main

# What a stand-in for the trainer does, by its first option. `me` is the worker's number.
STAND_IN = """
import json, os, signal, sys, time
config = json.loads(os.environ["TF_CONFIG"])
me = config["task"]["index"]

def until_signal(status=0, seconds=0):
    came = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: came.append(number))
    print(f"ready {os.getpid()}")
    while not came:
        time.sleep(0.02)
    time.sleep(seconds)
    print(f"saved after {came}")
    sys.exit(status or 128 + came[0])

def until_killed():
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    print(f"ready {os.getpid()}")
    time.sleep(60)
"""


@pytest.fixture
def program(tmp_path):
    """Makes a program of a worker's code, which may use what STAND_IN defines."""

    def make(code):
        path = tmp_path / "stand_in.py"
        path.write_text(STAND_IN + code)
        return [sys.executable, str(path)]

    return make


@pytest.fixture
def start(program):
    """Starts a launcher of workers of the given code as a process; kills it at the end."""
    with contextlib.ExitStack() as stack:

        def make(code, workers=2, grace=0.3, kill_after=0.3):
            run = (
                "import sys; from srez.console import guard_console; guard_console(); "
                "from srez.parallel.launch import launch; sys.exit(launch("
                f"{program(code)}, {workers}, grace={grace}, kill_after={kill_after}))"
            )
            pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
            process = subprocess.Popen([sys.executable, "-c", run], cwd=ROOT, text=True, **pipes)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield make


def _ready(process, workers=2):
    """Waits until each worker has said that it is ready; returns their process ids."""
    pids = {}
    while len(pids) < workers:
        line = process.stdout.readline()
        assert line, process.stderr.read()
        match = re.fullmatch(r"\[(\d)\] ready (\d+)\n", line)
        if match:
            pids[int(match[1])] = int(match[2])
    return [pids[index] for index in range(workers)]


def _end(process, status):
    """Waits for the end, which has to be with this status; returns the output and the errors."""
    texts = process.communicate(timeout=50)
    assert process.returncode == status, texts
    return texts


def _is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_for_the_end_of(pids):
    end = time.monotonic() + 50  # less than `sleep 60`
    while any(map(_is_running, pids)):
        assert time.monotonic() < end, "still running"
        time.sleep(0.02)


def test_each_worker_gets_the_options_and_its_place_in_one_cluster(program, capfd):
    show = program("print(json.dumps([config, sys.argv[1:]]))")
    assert launch([*show, "--run", "train"], 3) == 0
    rows = [line.split(" ", 1) for line in sorted(capfd.readouterr().out.splitlines())]
    addresses = json.loads(rows[0][1])[0]["cluster"]["worker"]
    for index, (name, row) in enumerate(rows):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        assert (name, json.loads(row)) == (f"[{index}]", [config, ["--run", "train"]])
    assert len(rows) == len(set(addresses)) == 3
    assert all(re.fullmatch(r"localhost:\d+", address) for address in addresses)


def test_stdout_and_stderr_stay_apart_and_each_line_gets_the_workers_number(program, capfd):
    code = "print('one\\ntwo'); print('bad', file=sys.stderr); os.write(1, b'\\xff')"
    assert launch(program(code), 1) == 0
    assert capfd.readouterr() == ("[0] one\n[0] two\n[0] \N{REPLACEMENT CHARACTER}\n", "[0] bad\n")


def test_free_ports_are_distinct():
    assert len(set(free_ports(100))) == 100


def test_the_first_to_fail_gives_the_status_and_its_last_lines(program, capfd):
    code = "for line in range(30): print('line', line)\nsys.exit(me * 7)"
    assert launch(program(code), 2) == 7
    err = capfd.readouterr().err
    assert "srez: worker 1 ended with status 7; its last lines:\n    line 10\n" in err
    assert err.endswith("    line 29\n")


def test_when_one_is_killed_the_others_are_asked_to_end_after_the_grace(start):
    process = start("until_signal(1)", workers=3, grace=0.5, kill_after=60)
    pids = _ready(process, 3)
    began = time.monotonic()
    os.kill(pids[1], signal.SIGKILL)
    out, err = _end(process, 128 + signal.SIGKILL)
    assert time.monotonic() - began >= 0.5
    assert "[0] saved after [15]" in out and "[2] saved after [15]" in out
    assert "srez: worker 1 was ended by SIGKILL; the others get 0.5 seconds to end\n" in err
    assert err.endswith("srez: the same command starts all again, from the last checkpoint\n")


def test_who_ends_within_the_grace_is_not_asked(start):
    process = start("if me: sys.exit(1)\ntime.sleep(0.5)\nprint('noticed')", grace=60)
    out, err = _end(process, 1)
    assert "[0] noticed" in out
    assert "sending" not in err


def test_who_does_not_end_when_asked_is_killed(start):
    process = start("until_killed()")
    os.kill(_ready(process)[1], signal.SIGKILL)
    _, err = _end(process, 128 + signal.SIGKILL)
    assert "srez: worker 0 still there: sending SIGTERM\n" in err
    assert "srez: worker 0 still there: sending SIGKILL\n" in err


def test_workers_that_stop_together_because_one_was_asked_to_end_are_no_failure(start):
    code = (
        "if me == 0: until_signal()\nprint(f'ready {os.getpid()}')\ntime.sleep(0.5)\nsys.exit(143)"
    )
    process = start(code)
    os.kill(_ready(process)[0], signal.SIGTERM)
    _, err = _end(process, 143)
    assert re.search(r"srez: all workers have ended, as worker \d was asked to", err)
    assert "last lines" not in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_all_workers(start, number):
    process = start("until_signal()")
    pids = _ready(process)
    process.send_signal(number)
    out, _ = _end(process, 128 + number)
    assert f"[0] saved after [{number:d}]" in out and f"[1] saved after [{number:d}]" in out
    assert not any(map(_is_running, pids))


def test_a_worker_that_saves_for_long_after_a_signal_is_not_hurried_by_another(start):
    process = start("until_signal(seconds=1 - me)", grace=0.2, kill_after=60)
    _ready(process)
    process.send_signal(signal.SIGTERM)
    out, _ = _end(process, 143)
    assert "[0] saved after [15]" in out and "[1] saved after [15]" in out


def test_a_second_signal_kills(start):
    process = start("until_killed()")
    pids = _ready(process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert all(map(_is_running, pids))
    process.send_signal(signal.SIGTERM)
    _, err = _end(process, 143)
    assert err == "srez: killed all workers; what they had not saved is lost\n"
    assert not any(map(_is_running, pids))


@pytest.mark.parametrize(
    ("code", "kill_after", "saved"),
    [("until_signal()", 10, ["saved0", "saved1"]), ("until_killed()", 0.3, [])],
)
def test_workers_of_a_killed_launcher_save_and_end_or_are_killed(
    start, tmp_path, code, kill_after, saved
):
    save = f"import atexit\natexit.register(lambda: open(f'{tmp_path}/saved{{me}}', 'w'))\n"
    process = start(save + code, kill_after=kill_after)
    pids = _ready(process)
    process.kill()
    _wait_for_the_end_of(pids)
    assert sorted(path.name for path in tmp_path.glob("saved*")) == saved


def test_what_a_worker_leaves_behind_is_killed(start):
    process = start('import subprocess; print(f\'ready {subprocess.Popen(["sleep", "60"]).pid}\')')
    pids = _ready(process)
    _end(process, 0)
    _wait_for_the_end_of(pids)


def test_a_worker_starts_no_workers(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(OSError, match="^--workers=2 starts processes on this machine"):
        launch([], 2)


def test_the_real_program_gets_its_place_and_its_options(here):
    # Python runs this module at the start of each process, which ends where TensorFlow would come.
    (here / "sitecustomize.py").write_text(
        "import os, sys; sys.modules['tensorflow'] = None; "
        "print(os.environ.get('TF_CONFIG')); print(sys.orig_argv)"
    )
    flags = ("--run=train", "--workers=2", "--strategy=none", "--dataset=nowhere")
    process = run_main(*flags, cwd=here, PYTHONPATH=str(here))
    assert process.returncode == 1
    for index in range(2):
        assert f"[{index}] srez: the package tensorflow is missing" in process.stderr
        (config,) = re.findall(rf"^\[{index}\] ({{.*)$", process.stdout, re.M)
        assert json.loads(config)["task"] == {"type": "worker", "index": index}
        (words,) = re.findall(rf"^\[{index}\] (\[.*)$", process.stdout, re.M)
        assert {"--run=train", "--strategy=none", "--dataset=nowhere"} < {*ast.literal_eval(words)}


def test_a_reader_of_the_output_that_is_gone_ends_nothing(start):
    lines = "for _ in range(20): print('more'); time.sleep(0.05)"
    process = start(f"print(f'ready {{os.getpid()}}')\n{lines}\nsys.exit(7 * me)")
    pids = _ready(process)
    with process.stdout, process.stderr:
        pass
    assert process.wait(timeout=50) == 7
    _wait_for_the_end_of(pids)
