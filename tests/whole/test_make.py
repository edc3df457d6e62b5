"""make run with a stand-in for Python, which keeps what it is told and ends as it is told to."""

import os
import shutil
import subprocess

import pytest

from tests.conftest import ROOT

STAND_IN = """\
#!/bin/sh
echo "$*" >> calls
case "$*" in *"--run train"*) exit $TRAIN_STATUS;; esac
"""


@pytest.fixture
def make(here):
    """Runs make run with words in a clone that is set up; returns the process and the calls."""
    for name in ("Makefile", "requirements.txt"):
        shutil.copy(ROOT / name, here)
    shutil.copytree(ROOT / "requirements", here / "requirements")
    (here / ".venv" / "bin").mkdir(parents=True)
    (here / ".venv" / "bin" / "python").write_text(STAND_IN)
    (here / ".venv" / "bin" / "python").chmod(0o755)
    for name in (".venv/ready", "test.jpg"):
        (here / name).touch()
    for needed in (here / "requirements.txt", *(here / "requirements").iterdir()):
        os.utime(needed, (0, 0))  # older than .venv/ready

    def run(*words, status=0, **environment):
        # make test runs these tests, and a make below a make says more and takes its options.
        other = ("VIRTUAL_ENV", "MAKELEVEL", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "TO")
        kept = {name: os.environ[name] for name in os.environ if name not in other}
        process = subprocess.run(
            ["make", "run", *words],
            capture_output=True,
            text=True,
            env=kept | {"TRAIN_STATUS": str(status)} | environment,
        )
        return process, (here / "calls").read_text().splitlines()

    return run


def test_it_begins_with_a_face_made_sharp_then_trains_and_makes_the_video(make):
    process, calls = make()
    assert process.returncode == 0, process.stderr
    assert [call.split()[2] for call in calls] == ["infere", "train", "demo"]
    assert "--weights shipped" in calls[0]
    assert "--train_time 3 " in calls[1]
    first, page, second, third = process.stdout.strip().splitlines()[-7::2]
    assert first == "  .venv/bin/python srez_main.py --run infere --weights shipped -i me.jpg"
    assert page == "  .venv/bin/python srez_main.py --run serve --weights shipped"
    assert second == "  make run TRAIN_TIME=30"
    assert third == "  make run TO=real TRAIN_TIME=30"
    assert "for real faces once img_align_celeba.zip is here:\n" in process.stdout
    assert "For your own network\nleave out these two words." in process.stdout
    assert max(map(len, process.stdout.splitlines())) <= 80


def test_an_earlier_run_is_left_as_it_is_and_a_way_is_shown(make):
    process, calls = make(status=3)
    assert process.returncode != 0
    assert [call.split()[2] for call in calls] == ["infere", "train"]
    assert "--noresume" not in "".join(calls)
    assert process.stdout.endswith("To train anew beside it:\n  make run TO=second\n")


def test_another_failure_shows_no_way(make):
    process, _ = make(status=1)
    assert process.returncode != 0
    assert "make run TO=second" not in process.stdout


def test_a_second_run_has_folders_of_its_own(make):
    process, calls = make("TO=second")
    folders = "--train_dir second/train --checkpoint_dir second/checkpoint"
    assert all(call.endswith(folders) for call in calls[1:])
    assert "  make run TRAIN_TIME=30 TO=second\n" in process.stdout
    words = (
        "For your own network\ngive --checkpoint_dir second/checkpoint in place of these two words."
    )
    assert words in process.stdout


def test_with_the_environment_activated_python3_is_what_to_type(make, here):
    process, _ = make(VIRTUAL_ENV=str(here / ".venv"))
    assert "\n  python3 srez_main.py --run infere" in process.stdout


def test_with_real_faces_here_none_are_asked_for(make, here):
    (here / "img_align_celeba.zip").touch()
    process, _ = make()
    assert "once img_align_celeba.zip is here" not in process.stdout
    assert process.stdout.endswith("  .venv/bin/tensorboard --logdir train\n")
