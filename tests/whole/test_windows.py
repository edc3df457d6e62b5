"""Windows lacks what is POSIX alone; here these modules and functions are hidden, and all runs."""

import pytest

from tests.conftest import SMALL, in_turn, run_main, train_arguments

HIDE = """
import os, signal, subprocess, sys, types

sys.modules["fcntl"] = sys.modules["resource"] = None
sys.modules["msvcrt"] = types.SimpleNamespace(locking=lambda *_: None, LK_NBLCK=2)
for name in ("O_NONBLOCK", "pread", "sched_getaffinity", "sysconf"):
    delattr(os, name)
for name in ("SIGHUP", "SIGPIPE", "pthread_sigmask"):
    delattr(signal, name)
"""


@pytest.mark.slow
def test_train_demo_and_infere_do_without_posix(here, faces):
    (here / "sitecustomize.py").write_text(HIDE)
    commands = in_turn(
        train_arguments(faces, train_batches=2, summary_period=1),
        ["--run", "demo"],
        ["--run", "infere", f"--infer_input={faces / '00.jpg'}"],
    )
    process = run_main(*commands, cwd=here, program=SMALL, PYTHONPATH=str(here))
    assert (process.returncode, process.stderr) == (0, "")
    assert {"train", "checkpoint", "result.png"} <= {path.name for path in here.iterdir()}
    assert (here / "train" / "demo1.mp4").exists()
