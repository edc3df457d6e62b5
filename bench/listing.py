"""Lists very many pictures: python3 -m bench.listing FOLDER [ENTRIES].

In FOLDER it makes, unless they are there, zips of ENTRIES tiny entries (2,000,000) and a tree of
half as many empty files. The zips come twice: with their names in order from zip to zip, as
`--run pack` makes them, and with their names dealt out to the zips like cards. Each is measured in
a process of its own: the seconds to list it, by the clock and of a core's time; the peak of memory
in addition to what Python and the modules take; reads at random places per second. It prints JSON
lines, and takes some minutes and 1 GB of disk.
"""

import concurrent.futures
import json
import random
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

from srez.data.source import open_source

ROOT = Path(__file__).parents[1]

SHARDS = 8
IN_A_FOLDER = 1000  # files
READS = 2000


def main(folder, entries=2_000_000):
    """Makes what is missing, measures, prints."""
    folder, entries = Path(folder).absolute(), int(entries)
    each = entries // SHARDS
    numbers = {
        "in order": [range(shard * each, (shard + 1) * each) for shard in range(SHARDS)],
        "dealt out": [range(shard, entries, SHARDS) for shard in range(SHARDS)],
    }
    jobs = [
        (folder / kind / f"faces-{shard:05d}.zip", part)
        for kind, parts in numbers.items()
        for shard, part in enumerate(parts)
    ]
    with concurrent.futures.ProcessPoolExecutor() as pool:
        list(pool.map(_make_zip, *zip(*jobs, strict=True)))
    _make_tree(folder / "tree", entries // 2)
    datasets = {f"zips, {kind}": f"{folder / kind}/faces-*.zip" for kind in numbers}
    for name, dataset in (datasets | {"tree of files": str(folder / "tree")}).items():
        command = [sys.executable, "-m", "bench.listing", "--list", dataset]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        print(json.dumps({"listed": name} | json.loads(done.stdout)), flush=True)


def _make_zip(path, numbers):
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".writing")
    with zipfile.ZipFile(temporary, "w") as archive:
        for number in numbers:
            archive.writestr(zipfile.ZipInfo(f"faces/{number:09d}.jpg"), f"picture {number}")
    temporary.rename(path)


def _make_tree(folder, count):
    for first in range(0, count, IN_A_FOLDER):
        place = folder / f"{first // IN_A_FOLDER:05d}"
        if not place.exists():
            place.mkdir(parents=True)
            for number in range(first, first + IN_A_FOLDER):
                (place / f"{number:09d}.jpg").touch()


def measure(dataset):
    """Lists a dataset in this process; returns what that took, a dict."""
    before, started, busy = _peak(), time.perf_counter(), time.process_time()
    source = open_source(dataset)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    peak = _peak() - before
    picked = random.Random(0).choices(range(len(source.names)), k=READS)
    started = time.perf_counter()
    for number in picked:
        source.read(number)
    reads = READS / (time.perf_counter() - started)
    return {
        "pictures": len(source.names),
        "seconds": round(seconds, 2),
        "seconds of a core": round(busy, 2),
        "MiB": round(peak, 1),
        "reads per second": round(reads),
    }


def _peak():
    """The most memory that this process has had, in MiB; pages of mapped files count too."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == "__main__":
    if sys.argv[1] == "--list":
        print(json.dumps(measure(sys.argv[2])))
    else:
        main(*sys.argv[1:])
