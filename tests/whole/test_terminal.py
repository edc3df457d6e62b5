"""The usual commands in a terminal of 80 columns: no line is wrapped, as a user sees them."""

import contextlib
import os
import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image
from skimage import data

from tests.conftest import SMALL, in_turn, train_arguments
from tests.small import SIGN

pytestmark = pytest.mark.slow  # a dozen commands, three of which train
pty = pytest.importorskip("pty")  # not on Windows

COLUMNS = 80
ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
COMMANDS = {
    "help": ["--help"],
    "a bad value": ["--run=train", "--batch_size=-1"],
    "train": train_arguments("faces", train_batches=12, evaluate_period=6),
    "go on": train_arguments("faces", train_batches=14, evaluate_period=6),
    "other options": train_arguments("faces", train_batches=14, batch_size=2),
    "demo": ["--run=demo"],
    "evaluate": ["--run=evaluate", "--dataset=faces"],
    "export": ["--run=export", "--export_format=keras"],
    "pack": ["--run=pack", "--dataset=faces", "--shard_mb=1"],
    "several faces": ["--run=infere", "--weights=shipped", "--input=two.png", "--invented"],
    "no such face": ["--run=infere", "--weights=shipped", "--input=two.png", "--face=3"],
    "a folder": ["--run=infere", "--input=photos", "--output=out"],
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, faces):
    """The lines that each command draws in a terminal, all of them run in turn in one folder."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "faces").symlink_to(faces)
    shutil.copytree(faces, folder / "photos", ignore=lambda _, names: sorted(names)[2:])
    astronaut, two = Image.fromarray(data.astronaut()), Image.new("RGB", (700, 500))
    two.paste(astronaut.resize((200, 200)))
    two.paste(astronaut.resize((500, 500)), (200, 0))  # its face is too large
    two.save(folder / "two.png")
    found = []
    for line in run_in_terminal(in_turn(*COMMANDS.values()), folder):
        if line.startswith(SIGN):
            found.append([])
        elif found:
            found[-1].append(line)
    return dict(zip(COMMANDS, found, strict=True))


@pytest.mark.parametrize("name", COMMANDS)
def test_no_line_is_wider_than_the_terminal(drawn, name):
    lines = drawn[name]
    assert any(lines)
    assert not any("Traceback" in line for line in lines)
    wide = [line for line in lines if len(line) > COLUMNS - 1]
    # A command is the terminal's to break, so that it can be copied.
    assert [line for line in wide if not re.match(r"  \S.*(--run|pip install) ", line)] == []


def run_in_terminal(words, cwd):
    """The lines that command lines draw in a terminal, a bar's states among them."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(COLUMNS), "LINES": "24", "TERM": "xterm"}
    command, drawn = [sys.executable, SMALL, *words], b""
    with (
        open(ours, "rb", buffering=0) as terminal,
        subprocess.Popen(command, cwd=cwd, env=environment, stdout=theirs, stderr=theirs),
    ):
        os.close(theirs)
        with contextlib.suppress(OSError):  # Linux's end of a terminal
            while data := terminal.read(65536):
                drawn += data
    return [line.rstrip() for line in re.split(r"[\r\n]+", ESCAPES.sub("", drawn.decode()))]
