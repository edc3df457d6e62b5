import gc
import signal
import sys
from unittest.mock import Mock

import keras
import pytest
import tensorflow as tf

import srez
import srez_main
from srez.options import FIELDS
from tests.conftest import ROOT, run_main


def test_a_bad_flag_costs_one_line_and_status_2_before_tensorflow_is_imported(here):
    (here / "sitecustomize.py").write_text("import sys; sys.modules['tensorflow'] = None")
    process = run_main("--run", "train", "--batch_size=0", cwd=here, PYTHONPATH=str(here))
    said = "srez: flag --batch_size=0: expected a whole number from 1 up\n"
    assert (process.returncode, process.stdout, process.stderr) == (2, "", said)


def test_help_exits_0_and_names_every_option_within_80_columns(capsys):
    assert srez_main.main(["srez_main.py", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  --{name}  " in out for name in FIELDS)
    assert all(f"  --run {name} " in out or f" or {name} " in out for name in srez_main.MODES)
    assert max(map(len, out.splitlines())) <= 80


def test_without_a_word_it_says_what_it_is_and_does_within_80_columns(capsys, monkeypatch):
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.chdir(ROOT)
    assert srez_main.main(["srez_main.py"]) == 0
    out = capsys.readouterr().out
    assert "Usage:\n  python3 srez_main.py --run COMMAND [options]" in out
    commands = [words.split()[1] for words in out.splitlines() if words.startswith("  --run")]
    assert commands == ["infere", "train", "train", "demo", "evaluate"]
    assert max(map(len, out.splitlines())) <= 80


def test_the_version_names_the_libraries_too(capsys):
    assert srez_main.main(["srez_main.py", "--version"]) == 0
    expected = f"srez {srez.__version__} (tensorflow {tf.__version__}, keras {keras.__version__}, "
    assert capsys.readouterr().out.startswith(expected)


def test_infere_and_infer_are_the_same_mode():
    assert srez_main.MODES["infere"] is srez_main.MODES["infer"]


@pytest.mark.parametrize(("package", "mode"), [("absl", "demo"), ("tensorflow", "train")])
def test_a_missing_package_is_one_line_that_names_the_environment(here, package, mode):
    (here / "sitecustomize.py").write_text(f"import sys; sys.modules['{package}'] = None")
    process = run_main("--run", mode, cwd=here, PYTHONPATH=str(here))
    assert process.returncode == 1
    assert process.stderr.startswith(
        f"srez: the package {package} is missing in the environment {sys.prefix}: source "
    )
    assert process.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("OOM when allocating tensor with shape[9,9]"), KeyError("a")],
)
def test_a_lack_of_memory_is_one_line_and_another_error_is_not_hidden(monkeypatch, capsys, error):
    monkeypatch.setitem(srez_main.MODES, "demo", Mock(side_effect=error))
    command = ["srez_main.py", "--run=demo"]
    if isinstance(error, KeyError):
        with pytest.raises(KeyError):
            srez_main.main(command)
    else:
        assert srez_main.main(command) == 1
        assert capsys.readouterr().err.startswith("srez: there is not enough memory: ")


def test_a_missing_ffmpeg_is_one_line(here):
    (here / "moviepy.py").write_text("raise RuntimeError('No ffmpeg exe could be found.')")
    process = run_main("--run", "demo", cwd=here, PYTHONPATH=str(here))
    assert process.returncode == 1
    assert process.stderr == "srez: ffmpeg, which writes the video, is not here: install it\n"


def test_the_demo_does_without_tensorflow(here, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert srez_main.main(["srez_main.py", "--run=demo"]) == 1
    assert "--train_dir=train" in capsys.readouterr().err


def test_packing_a_folder_does_without_tensorflow(here, faces, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert srez_main.main(["srez_main.py", "--run=pack", f"--dataset={faces}"]) == 0
    assert "--dataset 'shards/faces-*.zip'" in capsys.readouterr().out


@pytest.fixture
def started(monkeypatch):
    """What `start` does to this process is undone."""
    monkeypatch.setattr(srez_main, "guard_console", lambda: None)
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)
    gc.unfreeze()


def test_at_the_end_no_garbage_is_looked_for(started, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["srez_main.py"])
    assert srez_main.start() == 0
    assert gc.get_freeze_count() > 1000


def test_a_second_ctrl_c_ends_the_process(started, monkeypatch):
    monkeypatch.setattr(srez_main, "main", lambda _: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        srez_main.start()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL


def test_an_ignored_ctrl_c_stays_ignored(started, monkeypatch):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr(srez_main, "main", lambda _: signal.raise_signal(signal.SIGINT))
    srez_main.start()
