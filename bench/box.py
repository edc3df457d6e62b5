"""Puts the weights of a finished run of --recipe modern into the box: python3 -m bench.box FOLDER.

FOLDER is the run's --checkpoint_dir. Writes both ends of the fidelity scale in float16, as Keras
saves weights, faces64.json, which says how they were made, and the SHA-256 of each.
"""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

from srez import modern
from srez.console import say
from srez.data.source import open_source
from srez.files import sha256, write_text
from srez.run.checkpoint import batch_of, newest_checkpoint, read_run, restore
from srez.run.weights import BOX, BOXED


def main(checkpoint_dir):
    """Writes the box anew."""
    checkpoint = newest_checkpoint(checkpoint_dir)
    options = read_run(checkpoint)["options"]
    source = open_source(options["dataset"])
    BOX.mkdir(exist_ok=True)
    for name in ("faithful", "average"):
        generator = modern.build_generator()
        restore(checkpoint, **{name: generator})
        path = BOX / f"faces64_{name}.weights.h5"
        generator.save_weights(path)
        _halve(path)
    git = ["git", "-C", str(BOX), "rev-parse", "HEAD"]
    about = {
        "batch": batch_of(checkpoint),
        "commit": subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip(),
        "data": {
            "pictures": len(source.names),
            "fingerprint": source.fingerprint,
            "contents": source.contents,
        },
        "options": options | {"dataset": Path(options["dataset"]).name},
    }
    write_text(BOXED, json.dumps(about, indent=2) + "\n")
    files = sorted(path for path in BOX.iterdir() if path.name.startswith("faces64"))
    write_text(BOX / "SHA256SUMS", "".join(f"{sha256(path)}  {path.name}\n" for path in files))
    for path in files:
        say(f"Wrote {path}, {path.stat().st_size / 1e6:.1f} MB.")


def _halve(path):
    """Makes the float32 arrays of an HDF5 file float16, but for the fixed kernel."""
    with h5py.File(path) as file:
        arrays = {}
        file.visititems(
            lambda name, item: arrays.update({name: item[()]} if hasattr(item, "shape") else {})
        )
    fixed = modern.bicubic_layer().kernel_initializer.value.shape
    with h5py.File(path, "a") as file:
        for name, values in arrays.items():
            if values.shape != fixed:
                del file[name]
                file[name] = values.astype(np.float16)
    with h5py.File(path) as old, h5py.File(f"{path}.new", "w") as new:  # without the room of before
        for name in old:
            old.copy(name, new)
    Path(f"{path}.new").rename(path)


if __name__ == "__main__":
    main(sys.argv[1])
