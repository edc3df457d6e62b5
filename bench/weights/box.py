"""Puts the weights of a finished training of --recipe modern into the box.

python3 -m bench.weights.box FOLDER COMMIT: FOLDER is the run's --checkpoint_dir, or where
bench.weights.gpu wrote, COMMIT that of the code which trained it. Writes both ends of the fidelity
scale in float16, as Keras saves weights, facesS.json for --sample_size S, which says how they were
made, and the SHA-256 of each.
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
from srez.run.weights import BOX

# Significant bits of a weight: one more than bfloat16 has, in which they are trained. A wheel packs
# the rest away, and is 4 MB smaller.
BITS = 9


def main(folder, commit):
    """Writes the box anew for the sizes that were trained."""
    found = [_of_gpu(path) for path in sorted(Path(folder).glob("faces*_average.npz"))]
    if checkpoint := newest_checkpoint(folder):
        found.append(_of_checkpoint(checkpoint))
    if not found:
        raise SystemExit(f"{folder} holds no trained weights")
    for generators, batch, options in found:
        write(generators, batch, options, commit)


def _of_checkpoint(path):
    """({end: generator}, its batch, options) of a checkpoint."""
    generators = {end: modern.build_generator() for end in modern.ENDS}
    restore(path, **generators)
    return generators, batch_of(path), read_run(path)["options"]


def _of_gpu(path):
    """The same of what bench.weights.gpu wrote."""
    generators = {end: modern.build_generator() for end in modern.ENDS}
    for end, generator in generators.items():
        arrays = np.load(path.with_name(path.name.replace("average", end)))
        for place, variable in enumerate(generator.trainable_variables):
            variable.assign(arrays[f"arr_{place}"])
    options = json.loads(str(arrays["options"]))
    return generators, options["train_batches"], options


def write(generators, batch, options, commit):
    """Writes the two `generators`, by name, trained to a `batch` with such `options`, and sums."""
    source = open_source(options["dataset"])
    stem = f"faces{options['sample_size']}"
    names = [Path(word).name for word in options["dataset"].split(",")]
    BOX.mkdir(exist_ok=True)
    for name, generator in generators.items():
        save_rounded(generator, BOX / f"{stem}_{name}.weights.h5")
    about = {
        "batch": batch,
        "commit": commit,
        "data": {
            "pictures": len(source.names),
            "fingerprint": source.fingerprint,
            "contents": source.contents,
        },
        "options": options | {"dataset": ",".join(names)},
    }
    write_text(BOX / f"{stem}.json", json.dumps(about, indent=2) + "\n")
    write_sums()


def write_sums():
    """Writes the SHA-256 of each file in the box, and says how large they are."""
    files = sorted(path for path in BOX.iterdir() if path.suffix in (".h5", ".json"))
    write_text(BOX / "SHA256SUMS", "".join(f"{sha256(path)}  {path.name}\n" for path in files))
    for path in files:
        say(f"{path}, {path.stat().st_size / 1e6:.1f} MB")


def save_rounded(network, path):
    """Saves a network's weights as Keras does, but rounded to BITS, except for a fixed kernel."""
    fixed = modern.bicubic_layer().kernel_initializer.value.shape
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, path.name)
        network.save_weights(whole)
        with h5py.File(whole) as old, h5py.File(path, "w") as new:

            def copy(name, item):
                if isinstance(item, h5py.Dataset):
                    new[name] = item[()] if item.shape == fixed else rounded(item[()])

            old.visititems(copy)


def rounded(values):
    """Values as float16 with BITS significant bits."""
    last = np.uint16(1 << (11 - BITS))  # float16 has 11
    bits = values.astype(np.float16).view(np.uint16)
    return ((bits + last // 2) // last * last).view(np.float16)


if __name__ == "__main__":
    main(*sys.argv[1:])
