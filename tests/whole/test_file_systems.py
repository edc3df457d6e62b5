"""A file system that knows no locks, no rights and no links, and can't bring names to the disk."""

import shutil
import subprocess

import pytest

from srez.run.checkpoint import newest_checkpoint
from tests.conftest import SMALL, in_turn, need, run_main, train_arguments

# A library that is loaded before the C library: TensorFlow's calls meet it, too.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>
#define REFUSES(call, number) int call { errno = number; return -1; }

REFUSES(flock(int file, int how), ENOSYS)
REFUSES(chmod(const char *path, mode_t mode), EPERM)
REFUSES(fchmod(int file, mode_t mode), EPERM)
REFUSES(fchmodat(int folder, const char *path, mode_t mode, int how), EPERM)
REFUSES(link(const char *old, const char *new), EPERM)
REFUSES(symlink(const char *old, const char *new), EPERM)

int fsync(int file) {
  struct stat status;
  if (!fstat(file, &status) && S_ISDIR(status.st_mode)) { errno = EINVAL; return -1; }
  return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(file);
}
"""


@pytest.mark.slow
def test_all_runs_on_it_with_a_warning(here, faces):
    need(lambda: shutil.which("gcc"), "gcc", "libc6-dev")
    (here / "shim.c").write_text(SHIM)
    build = ["gcc", "-shared", "-fPIC", "-o", here / "shim.so", here / "shim.c", "-ldl"]
    subprocess.run(build, check=True)
    flags = {"batch_size": 2, "test_vectors": 2, "summary_period": 1}
    locking = (
        train_arguments(faces, train_batches=2, **flags),
        train_arguments(faces, train_batches=3, cache="cache", **flags),  # goes on
        [*train_arguments(faces, train_batches=1, **flags), "--noresume"],
        ["--run=pack", f"--dataset={faces}"],
    )
    others = (
        ["--run=demo"],
        ["--run=infere", f"--infer_input={faces}"],
        ["--run=export", "--export_format=savedmodel"],
    )
    shim = {"program": SMALL, "LD_PRELOAD": str(here / "shim.so")}
    process = run_main(*in_turn(*locking, *others), cwd=here, **shim)
    assert process.returncode == 0, process.stderr
    said = process.stderr.splitlines()
    assert all(": no locks on this file system" in line for line in said), said
    *held, packed = (line.partition(": no locks")[0] for line in said)
    assert held == ["srez: checkpoint/lock", "srez: train/lock"] * 4  # --noresume makes new ones
    assert "pack.json" in packed  # the other commands hold nothing
    assert "Moved an earlier run's results aside" in process.stdout
    assert newest_checkpoint(here / "checkpoint.1").name == "batch000003"
    assert newest_checkpoint(here / "checkpoint").name == "batch000001"
