"""Names in any encoding, in any locale: of folders, of pictures, on the command line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SMALL, in_turn, need

CAFE = os.fsdecode(b"caf\xe9")  # no UTF-8
LATIN_1 = "en_US.ISO-8859-1"
LOCALES = {
    "a console of ASCII": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii"},
    "ASCII": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "Latin-1": {"LC_ALL": LATIN_1},
}
TRAIN = ["--batch_size=2", "--test_vectors=2", "--train_batches=3", "--summary_period=1"]


@pytest.fixture(scope="module", params=LOCALES)
def srez(request, tmp_path_factory, faces):
    """Runs command lines in a locale, in a folder of that name; returns status and output."""
    folder = tmp_path_factory.mktemp("names")
    here = folder / CAFE
    shutil.copytree(faces, here / CAFE)
    (here / CAFE / "00.jpg").rename(here / CAFE / f"{CAFE}.jpg")
    others = (name for name in os.environ if not name.startswith(("LC_", "PYTHON")))
    environment = {name: os.environ[name] for name in others} | LOCALES[request.param]
    if request.param == "Latin-1":
        path = folder / LATIN_1
        need(Path("/usr/share/i18n/locales/en_US").exists, "locales")
        subprocess.run(["localedef", "-i", "en_US", "-f", "ISO-8859-1", path], check=True)
        environment["LOCPATH"] = str(folder)

    def run(*commands):
        command = [sys.executable, SMALL, *in_turn(*commands)]
        process = subprocess.run(command, cwd=here, env=environment, capture_output=True)
        return process.returncode, process.stdout + process.stderr

    return run


@pytest.mark.slow
def test_every_command_takes_them(srez):
    commands = (
        ["--run=train", f"--dataset={CAFE}", *TRAIN],
        ["--run=demo"],
        ["--run=infere", f"--infer_input={CAFE}", f"--infer_output={CAFE}.d"],
        ["--run=evaluate", f"--evaluation_dir={CAFE}.d"],
        ["--run=export", f"--export_output={CAFE}"],
        ["--run=export", f"--export_output={CAFE}", "--export_format=tflite"],
        ["--run=pack", f"--dataset={CAFE}", f"--pack_output={CAFE}.d"],
    )
    status, output = srez(*commands)
    assert b"Traceback" not in output
    # A zip's names are UTF-8, which a name may be in one locale and not in another.
    said = [line for line in output.splitlines() if line.startswith(b"srez: ")]
    renamed = [line for line in said if b"can't be packed under this name: rename it" in line]
    assert status == 0 or len(said) == len(renamed) == 1, output


def test_what_tensorflow_would_write_elsewhere_is_refused_in_one_line(srez):
    names = ("train_dir", "checkpoint_dir", "export_output")
    commands = [["--run=export", f"--{name}={CAFE}/x"] for name in names]
    status, output = srez(*commands)
    assert status == 2
    lines = [line for line in output.splitlines() if not line.startswith(b"$ ")]
    assert len(lines) == len(names)
    for name, line in zip(names, lines, strict=True):
        assert line.startswith(b"srez: flag --" + name.encode() + b"=caf")
