"""What the tests share: drawn faces, options for short runs, the command line, a trained run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

import srez.drawn.faces
from srez.options import Options

ROOT = Path(__file__).parents[1]
FACES = 24


def small_config(faces, **overrides):
    """Options for a training of seconds: batches of two of the `faces`, few sheets."""
    flags = {"dataset": str(faces), "batch_size": 2, "test_vectors": 2, "summary_period": 50}
    return Options(**(flags | overrides))


def run_main(*arguments, cwd, program=ROOT / "srez_main.py", **environment):
    """Runs the real command line; returns the finished process with its output as text."""
    ours = ("TF_", "PYTHONPATH")  # of the tests, not of a user
    inherited = {name: os.environ[name] for name in os.environ if not name.startswith(ours)}
    return subprocess.run(
        [sys.executable, program, *map(str, arguments)],
        cwd=cwd,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_same_bits(*paths):
    """Asserts that two checkpoints hold the same weights and optimizer state, bit for bit."""
    first, second = (tf.train.load_checkpoint(str(path / "tensors")) for path in paths)
    names = first.get_variable_to_shape_map().keys()
    assert names == second.get_variable_to_shape_map().keys()
    compared = [name for name in names if not name.startswith(("seconds", "_CHECKPOINTABLE"))]
    assert len(compared) > 200
    for name in compared:
        assert first.get_tensor(name).tobytes() == second.get_tensor(name).tobytes(), name


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, which the test runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """A folder of drawn 178x218 JPEGs, 00.jpg up."""
    folder = tmp_path_factory.mktemp("faces")
    for index in range(FACES):
        srez.drawn.faces.draw_face(0, index).save(folder / f"{index:02d}.jpg", quality=95)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory, faces):
    """The folder of a run of 12 batches through the command line, and the finished process."""
    folder = tmp_path_factory.mktemp("trained")
    process = run_main(*train_arguments(faces, train_batches=12), cwd=folder)
    assert process.returncode == 0, process.stderr
    return folder, process


@pytest.fixture(scope="session")
def trained_modern(tmp_path_factory, faces):
    """The same of the recipe modern: 6 batches of either stage."""
    folder = tmp_path_factory.mktemp("trained_modern")
    flags = {"recipe": "modern", "l1_batches": 6, "train_batches": 12}
    process = run_main(*train_arguments(faces, **flags), cwd=folder)
    assert process.returncode == 0, process.stderr
    return folder, process


def train_arguments(faces, **flags):
    """A short training's command line."""
    flags = {"dataset": faces, "batch_size": 4, "test_vectors": 3, "summary_period": 5} | flags
    return ["--run", "train", *(f"--{name}={value}" for name, value in flags.items())]
