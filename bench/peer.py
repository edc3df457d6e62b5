"""Runs the same training step in PyTorch, in a process of its own, for the benchmark."""

import importlib.util
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("pytorch_peer.py")
PRECISIONS = ("float32", "bfloat16")


class Peer:
    """A process that does a PyTorch step on demand; a context manager. Idle without torch."""

    def __init__(self, batch_size, size):
        self._command = [sys.executable, str(SCRIPT), str(batch_size), str(size)]
        self._process = None

    def __enter__(self):
        if importlib.util.find_spec("torch"):
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        else:
            print("Without PyTorch: pip install -r requirements/bench.txt to compare.", flush=True)
        return self

    def __exit__(self, *_):
        if self._process:
            self._process.stdin.close()
            self._process.wait()

    @property
    def jobs(self):
        """Functions by name that do one step and return its seconds; none without torch."""
        if not self._process:
            return {}
        return {f"pytorch {precision}": self._job(precision) for precision in PRECISIONS}

    def _job(self, precision):
        def step():
            self._process.stdin.write(f"{precision}\n")
            self._process.stdin.flush()
            return float(self._process.stdout.readline())

        return step
