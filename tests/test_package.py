"""pip install .: what its wheel holds, what it asks for, and srez run far from any clone."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import srez
from tests.conftest import ROOT, free_port, train_arguments, users_environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {name: PROJECT["optional-dependencies"][name] for name in ("face", "page", "export")}
MAX_MB = 30
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
OURS = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation"]


def run(*words, **options):
    """Runs a command that has to succeed; returns its output as text."""
    words = list(map(str, words))
    process = subprocess.run(words, capture_output=True, text=True, timeout=300, **options)
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.parametrize(
    ("name", "ranges"),
    [
        ("requirements.txt", PROJECT["dependencies"]),
        *((f"requirements/{name}.txt", EXTRAS[name]) for name in EXTRAS),
    ],
)
def test_each_pin_lies_in_the_range_of_its_name(name, ranges):
    ranges = {wanted.name: wanted.specifier for wanted in map(Requirement, ranges)}
    lines = (ROOT / name).read_text().splitlines()
    pins = dict(line.split("==") for line in lines if "==" in line)
    assert pins.keys() == ranges.keys()
    assert [each for each in pins if pins[each] not in ranges[each]] == []
    # An upper end and no pin: a library shares its environment with others.
    ends = [{part.operator for part in specifier} for specifier in ranges.values()]
    assert ends == [{">=", "<"}] * len(ranges)


def test_the_extra_all_is_the_others():
    assert set(PROJECT["optional-dependencies"]) == {*EXTRAS, "all"}
    [every] = map(Requirement, PROJECT["optional-dependencies"]["all"])
    assert (every.name, every.extras) == ("srez", set(EXTRAS))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """The folder of the programs of an environment with the wheel, far from this clone."""
    [wheel] = built.glob("*.whl")
    return _environment(tmp_path_factory.mktemp("installed"), wheel)


def _environment(folder, *what):
    """Makes an environment with srez, which sees this one's packages; returns its programs."""
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    site = dict.fromkeys(("base", "platbase"), folder)
    packages = Path(sysconfig.get_path("purelib", "venv", site))
    (packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    run(*PIP, "--python", folder, "install", *OURS, *what)
    return Path(sysconfig.get_path("scripts", "venv", site))


def _user(programs, folder):
    """How a user who has activated the environment runs a command in a folder."""
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    activated = {"PATH": path, "VIRTUAL_ENV": str(programs.parent), "TMPDIR": str(folder)}
    return {"cwd": folder, "env": users_environment() | activated}


def _packed():
    """What the wheel has to hold: the files of the clone by their names in it."""
    files = {path.name: path for path in ROOT.glob("srez_*.py")}
    modules = (path for path in ROOT.glob("srez/**/*") if "__pycache__" not in path.parts)
    files |= {str(path.relative_to(ROOT)): path for path in modules if path.is_file()}
    data = (*ROOT.glob("weights/*"), ROOT / "docs" / "astronaut_small.png")
    return files | {f"srez/{path.relative_to(ROOT)}": path for path in data}


@pytest.mark.slow
def test_the_wheel_holds_what_srez_needs_and_nothing_else(built):
    [wheel] = built.glob("*.whl")
    packed, about = _packed(), f"srez-{srez.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
        assert {name for name in names if not name.startswith(about)} == packed.keys()
        assert all(file.read(name) == packed[name].read_bytes() for name in packed)
    assert {f"{about}/licenses/{name}" for name in PROJECT["license-files"]} < names
    assert wheel.stat().st_size < MAX_MB * 10**6


@pytest.mark.slow
def test_the_sdist_makes_the_same_wheel(built, tmp_path):
    [sdist], [wheel] = built.glob("*.tar.gz"), built.glob("*.whl")
    run(*PIP, "wheel", *OURS, "--wheel-dir", tmp_path, sdist)
    assert (tmp_path / wheel.name).read_bytes() == wheel.read_bytes()
    assert sdist.stat().st_size < MAX_MB * 10**6


@pytest.mark.slow
def test_an_editable_srez_finds_its_files_in_the_clone(here):
    programs = _environment(here / "venv", "--editable", ROOT)
    code = "import srez.files; print(srez.files.resource('weights'))"
    assert run(programs / "python", "-c", code, cwd=here) == f"{ROOT / 'weights'}\n"
    assert "Usage:\n  venv/bin/srez --run " in run("venv/bin/srez", cwd=here)


@pytest.mark.slow
@pytest.mark.parametrize("words", ["srez", "python -m srez", "python3 -m srez_main"])
def test_the_usage_is_what_was_typed(installed, here, words):
    shown = run(*words.split(), **_user(installed, here))
    assert f"\nUsage:\n  {words} --run COMMAND [options]\n" in shown


@pytest.mark.slow
def test_far_from_any_clone_it_enlarges_trains_evaluates_and_serves(installed, here, faces):
    user = _user(installed, here)
    shutil.copy(ROOT / "docs" / "astronaut_small.png", here / "me.png")
    assert "result_photo.png" in run("srez", "--run", "infere", "--infer_input", "me.png", **user)
    shown = run("srez", *train_arguments(faces, batch_size=2, train_batches=1), **user)
    assert "\n  srez --run demo\n  srez --run infere -i me.jpg\n" in shown
    run("srez", "--run", "evaluate", **user)
    assert "by srez's `--run evaluate`" in (here / "evaluation" / "MODEL_CARD.md").read_text()
    command = ["srez", "--run", "serve", f"--serve_port={free_port()}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **user) as process:
        opened = any(line.startswith("Open http://") for line in process.stdout)
        process.send_signal(signal.SIGINT)
    assert opened
    assert process.returncode == 130
