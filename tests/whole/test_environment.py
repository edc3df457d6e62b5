"""What other programs have set up for themselves doesn't reach srez."""

import json
import subprocess
import sys

import pytest

import srez_main
from srez.options import Options
from srez_infer import infer
from tests.conftest import MAIN, ROOT, SMALL, in_turn, printed, run_main, train_arguments

KERAS_JSON = {
    "backend": "theano",
    "epsilon": 1,  # Keras itself ends in a traceback on that
    "floatx": "float16",
    "image_data_format": "channels_first",
    "nnx_enabled": True,
}
HOSTILE = {
    "KERAS_BACKEND": "torch",
    "KERAS_MAX_EPOCHS": "many",
    "KERAS_NNX_ENABLED": "1",
    "LANG": "nowhere",
    "MPLBACKEND": "nothing",
    "PYTHONHASHSEED": "1",
    "PYTHONOPTIMIZE": "2",
    "PYTHONSAFEPATH": "1",
    "TF_USE_LEGACY_KERAS": "1",
    "TMPDIR": "/nowhere",
}
TOLD = (
    "import keras; ours = keras.config; "
    "print(ours.backend(), ours.floatx(), ours.epsilon(), ours.image_data_format())"
)


@pytest.fixture
def hostile(tmp_path):
    """The environment of somebody who uses Keras otherwise, with its keras.json."""
    folder = tmp_path / "home" / ".keras"
    folder.mkdir(parents=True)
    (folder / "keras.json").write_text(json.dumps(KERAS_JSON))
    return HOSTILE | {"HOME": str(folder.parent), "KERAS_HOME": str(folder)}


@pytest.mark.slow
def test_another_projects_settings_change_no_pixel_and_nothing_is_left_at_home(
    here, faces, hostile
):
    picture = ROOT / "docs" / "astronaut_small.png"
    commands = in_turn(
        train_arguments(faces, train_batches=1, batch_size=2),
        ["--run=export", "--export_format=tflite"],
        ["--run=infere", "--weights=shipped", f"--infer_input={picture}"],
    )
    process = run_main(*commands, cwd=here, program=SMALL, **hostile)
    assert (process.returncode, process.stderr) == (0, "")
    infer(Options(infer_input=str(picture), infer_output="ours.png", weights="shipped"))
    assert (here / "result.png").read_bytes() == (here / "ours.png").read_bytes()
    home = here / "home"
    assert sorted(home.rglob("*")) == [home / ".keras", home / ".keras" / "keras.json"]


@pytest.mark.slow
def test_srez_model_alone_has_its_own_settings(hostile):
    found = printed(f"import srez_model; {TOLD}", **hostile)
    assert found == "tensorflow float32 1e-07 channels_last"


@pytest.mark.parametrize(
    ("package", "environment", "backend"),
    [
        ("bench", {}, "tensorflow"),
        ("bench", {"BENCH_BACKEND": "jax"}, "jax"),
        ("srez", {"BENCH_BACKEND": "jax"}, "tensorflow"),
    ],
)
def test_only_the_benchmarks_take_another_backend(hostile, package, environment, backend):
    code = f"import {package}, os; print(os.environ['KERAS_BACKEND'])"
    assert printed(code, **hostile, **environment) == backend


def test_srez_starts_under_pythons_own_switches(here):
    command = [sys.executable, "-I", "-OO", MAIN, "--help"]  # without its folder and docstrings
    process = subprocess.run(command, cwd=here, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")
    assert "--run train " in process.stdout and "None" not in process.stdout


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("srez.console", f"{ROOT} is no whole copy of srez: its module srez.console is missing"),
        ("srez_train", f"{ROOT} is no whole copy of srez: its module srez_train is missing there"),
        ("_bz2", f"Python's own module _bz2 is missing: {sys.prefix} needs a whole Python"),
        ("google.protobuf", "the package google.protobuf is missing in the environment "),
        (None, "the package no name is missing in the environment "),
    ],
)
def test_what_is_missing_is_said_truly(name, expected):
    error = ModuleNotFoundError("no name", name=name)
    assert srez_main.missing(error).startswith(expected)
