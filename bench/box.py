"""Puts the weights of a finished run of --recipe modern into the box.

python3 -m bench.box FOLDER COMMIT: FOLDER is the run's --checkpoint_dir, COMMIT that of the code
which trained it. Writes both ends of the fidelity scale in float16, as Keras saves weights,
facesS.json for --sample_size S, which says how they were made, and the SHA-256 of each.

python3 -m bench.box FOLDER COMMIT DATASET: FOLDER is where bench.gpu wrote what it trained on the
packed DATASET.
"""

import json
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np

from srez import modern
from srez.console import say
from srez.data.source import open_source
from srez.files import sha256, write_text
from srez.run.checkpoint import batch_of, newest_checkpoint, read_run, restore
from srez.run.weights import BOX, BOX_SIZES

ENDS = ("faithful", "average")  # of the fidelity scale


def main(checkpoint_dir, commit):
    """Writes the box anew for the run's size."""
    checkpoint = newest_checkpoint(checkpoint_dir)
    generators = {name: modern.build_generator() for name in ENDS}
    restore(checkpoint, **generators)
    write(generators, batch_of(checkpoint), commit, read_run(checkpoint)["options"])


def main_of_gpu(folder, commit, dataset):
    """Writes the box anew for all sizes."""
    for size in BOX_SIZES:
        generators = {}
        for name in ENDS:
            arrays = np.load(Path(folder, f"faces{size}_{name}.npz"))
            generators[name] = modern.build_generator()
            for place, variable in enumerate(generators[name].trainable_variables):
                variable.assign(arrays[f"arr_{place}"])
        options = json.loads(str(arrays["options"])) | {"dataset": dataset}
        write(generators, options["train_batches"], commit, options)


def write(generators, batch, commit, options):
    """Writes the two `generators`, by name, trained to a `batch` with such `options`, and sums."""
    source = open_source(options["dataset"])
    stem = f"faces{options['sample_size']}"
    BOX.mkdir(exist_ok=True)
    for name, generator in generators.items():
        _save_halved(generator, BOX / f"{stem}_{name}.weights.h5")
    about = {
        "batch": batch,
        "commit": commit,
        "data": {
            "pictures": len(source.names),
            "fingerprint": source.fingerprint,
            "contents": source.contents,
        },
        "options": options | {"dataset": Path(options["dataset"]).name},
    }
    write_text(BOX / f"{stem}.json", json.dumps(about, indent=2) + "\n")
    files = sorted(path for path in BOX.iterdir() if path.name.startswith("faces"))
    write_text(BOX / "SHA256SUMS", "".join(f"{sha256(path)}  {path.name}\n" for path in files))
    for path in files:
        say(f"Wrote {path}, {path.stat().st_size / 1e6:.1f} MB.")


def _save_halved(generator, path):
    """Saves the weights as Keras does, but in float16, except for the fixed kernel."""
    fixed = modern.bicubic_layer().kernel_initializer.value.shape
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, path.name)
        generator.save_weights(whole)
        with h5py.File(whole) as old, h5py.File(path, "w") as new:

            def copy(name, item):
                if isinstance(item, h5py.Dataset):
                    new[name] = item[()] if item.shape == fixed else item[()].astype(np.float16)

            old.visititems(copy)


if __name__ == "__main__":
    (main_of_gpu if len(sys.argv) > 3 else main)(*sys.argv[1:])
