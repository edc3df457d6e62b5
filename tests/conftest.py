"""What the tests share: drawn faces, options for short runs, the command line, a trained run."""

import contextlib
import fcntl
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf
from selenium import webdriver

import srez.drawn.faces
from srez.options import Options
from srez.pictures.grid import GAP, TITLE_HEIGHT
from tests.small import shrink

ROOT = Path(__file__).parents[1]
SMALL = ROOT / "tests" / "small.py"  # srez_main.py with small networks
MAIN = ROOT / "srez_main.py"
FACES = 24
PATIENCE = 60  # seconds, on a busy machine
# What takes longest comes first: so at the end no process waits for another.
LONGEST = "faults package cluster infer names serve page evaluate export notebook server terminal"
LONGEST += " environment bench photo descriptors file_systems"
# A job in the background ignores Ctrl-C, under nohup a hang-up too; so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items):
    """Sorts tests by their files: the LONGEST, then the others as they are.

    What needs a trained run is slow, for without the slow ones nobody waits for its training.
    """
    for item in items:
        if {"trained", "trained_small"} & set(item.fixturenames):
            item.add_marker("slow")
    names = [f"test_{name}" for name in LONGEST.split()]
    items.sort(key=lambda item: names.index(item.path.stem) if item.path.stem in names else 99)


def small_config(faces, **overrides):
    """Options for a training of seconds: batches of two of the `faces`, few sheets."""
    flags = {"dataset": str(faces), "batch_size": 2, "test_vectors": 2, "summary_period": 50}
    flags |= {"precision": "float32"}  # the same bits on any machine
    return Options(**(flags | overrides))


def run_main(*arguments, cwd, program=MAIN, **environment):
    """Runs the real command line; returns the finished process with its output as text."""
    return subprocess.run(
        [sys.executable, program, *map(str, arguments)],
        cwd=cwd,
        env=users_environment() | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def printed(code, **environment):
    """What Python code prints in a process of its own, where srez can be imported."""
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return process.stdout.strip() or process.stderr


def in_turn(*commands):
    """The words for tests/small.py that runs these command lines in turn."""
    return [word for command in commands for word in (",", *command)][1:]


def users_environment():
    """The environment variables that a user has, without those of the tests."""
    ours = ("TF_", "KERAS_", "PYTHONPATH")  # of the tests, not of a user
    return {name: os.environ[name] for name in os.environ if not name.startswith(ours)}


def free_port():
    """A port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def until(what):
    """What the function returns as soon as it is true."""
    last = time.monotonic() + PATIENCE
    while not (value := what()):
        assert time.monotonic() < last, f"not true after {PATIENCE} seconds"
        time.sleep(0.05)
    return value


@contextlib.contextmanager
def serving(folder, *arguments, **environment):
    """Runs the page in a folder, where its temporary files go too: (process, address)."""
    process = subprocess.Popen(
        [sys.executable, MAIN, "--run", "serve", *map(str, arguments)],
        cwd=folder,
        env=users_environment() | {"TMPDIR": str(folder)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        opened = next((line for line in process.stdout if line.startswith("Open ")), None)
        assert opened, process.stderr.read()
        yield process, opened.split()[1]
    finally:
        process.kill()
        process.communicate()


def assert_same_bits(*paths):
    """Asserts that two checkpoints hold the same weights and optimizer state, bit for bit."""
    first, second = (tf.train.load_checkpoint(str(path / "tensors")) for path in paths)
    names = first.get_variable_to_shape_map().keys()
    assert names == second.get_variable_to_shape_map().keys()
    compared = [name for name in names if not name.startswith(("seconds", "_CHECKPOINTABLE"))]
    assert len(compared) > 80
    for name in compared:
        assert first.get_tensor(name).tobytes() == second.get_tensor(name).tobytes(), name


def cell(grid, row, column, height, width=None):
    """The image in a place of a grid with titles, [height, width, 3] as it is in the grid."""
    width = width or height
    top, left = TITLE_HEIGHT + row * (height + GAP), GAP + column * (width + GAP)
    return grid[top : top + height, left : left + width]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder, which the test runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def small(monkeypatch):
    """Small networks, for a test of what isn't about them."""
    shrink(monkeypatch.setattr)


def made_once(factory, name, make):
    """(folder, what `make(folder)` returned): made by the first of pytest's processes to ask."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, result = base / name, base / f"{name}.pickle"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            result.write_bytes(pickle.dumps(make(folder)))
    return folder, pickle.loads(result.read_bytes())


@pytest.fixture(scope="session")
def faces(tmp_path_factory):
    """A folder of drawn 178x218 JPEGs, 00.jpg up."""

    def draw(folder):
        for index in range(FACES):
            face = srez.drawn.faces.draw_face(0, index)
            face.save(folder / f"{index:02d}.jpg", quality=95)

    return made_once(tmp_path_factory, "faces", draw)[0]


@pytest.fixture
def folder(faces, tmp_path):
    """A copy of the faces, which the test may change."""
    return shutil.copytree(faces, tmp_path / "faces")


@pytest.fixture(scope="session")
def trained(tmp_path_factory, faces):
    """The folder of a run of 12 batches through the command line, and the finished process."""

    def run(folder):
        return _well(run_main(*train_arguments(faces, train_batches=12), cwd=folder))

    return made_once(tmp_path_factory, "trained", run)


@pytest.fixture(scope="session")
def trained_small(tmp_path_factory, faces):
    """The folder with a folder of each recipe: small networks after 12 batches, 6 of a stage."""

    def run(folder):
        commands = []
        for name, flags in (("original", {}), ("modern", {"recipe": "modern", "l1_batches": 6})):
            flags |= {"train_dir": f"{name}/train", "checkpoint_dir": f"{name}/checkpoint"}
            commands.append(train_arguments(faces, train_batches=12, **flags))
        _well(run_main(*in_turn(*commands), cwd=folder, program=SMALL))

    return made_once(tmp_path_factory, "trained_small", run)[0]


def _well(process):
    assert process.returncode == 0, process.stderr
    return process


def need(is_there, *packages):
    """Sees to it that Debian's packages are there, as `is_there()` tells; root installs them.

    Where that can't be done the test is skipped, and fails if CI is set.
    """
    if not is_there() and shutil.which("apt-get") and os.geteuid() == 0:
        apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
        subprocess.run([*apt, "update"], check=True)
        subprocess.run([*apt, "install", "--no-install-recommends", *packages], check=True)
    if not is_there():
        # A user may have no browser and not be root. .ci/run sets CI: there nothing is left out.
        end = pytest.fail if "CI" in os.environ else pytest.skip
        end(f"needs Debian's {' and '.join(packages)}")


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium that keeps its console, and a list of its requests."""
    need(lambda: shutil.which("chromedriver"), "chromium", "chromium-driver")
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    for camera in ("device", "ui"):  # Chromium's own, which shows a colour and a clock
        options.add_argument(f"--use-fake-{camera}-for-media-stream")
    options.binary_location = shutil.which("chromium")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options, service)
    yield driver
    driver.quit()


def train_arguments(faces, **flags):
    """A short training's command line."""
    usual = {"dataset": faces, "batch_size": 4, "test_vectors": 3, "summary_period": 5}
    flags = usual | {"precision": "float32"} | flags
    return ["--run", "train", *(f"--{name}={value}" for name, value in flags.items())]
