"""Measures the weights in the box on faces of every size, clean and not.

python3 -m bench.quality.sides DATASET: COUNT test faces of 128 pixels are made smaller and worse as
MADE tells, and enlarged: those as small as a network's input as pictures, the others as if they
were in a photo. Writes bench/results/sides.csv, a row for each way, side and what enlarges it; the
chart docs/sides.svg; and skimage's astronaut, docs/sides.webp. A second argument is a number of
faces to try it on; then nothing is written. Needs requirements/bench.txt and requirements/face.txt.
"""

import io
import sys

import numpy as np
import skimage.data
from PIL import Image

from bench.shared import ROOT, load_faces, measured, save_chart, write_table
from srez.options import Options
from srez.photo.align import align_face, eyes_of_box
from srez.photo.faces import Faces, Item
from srez.photo.prepare import face_part, looks_exact, picture_part
from srez.pictures.geometry import interpolate, shrink
from srez.pictures.grid import titled_grid
from srez.pictures.image import to_uint8, write_image
from srez.quality.descriptors import descriptors, find_faces
from srez.run.weights import BOX_SIZES, Networks
from srez_model import SCALE

COUNT = 60  # for means; these take half an hour on two busy cores
TRUTH = BOX_SIZES[-1]
INPUTS = tuple(size // SCALE for size in BOX_SIZES)
KERNELS = {
    "bicubic": Image.Resampling.BICUBIC,
    "Lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}
MADE = {  # sides in pixels by what is done; for JPEG, noise and blur averages are taken
    "averages": (16, 32, 64),
    "bicubic": (12, 20, 24, 40, 48, 64, 96, 128),
    "Lanczos": (16, 32),
    "nearest": (16, 32),
    "JPEG": (16, 32, 48, 64, 96, 128),
    "noise": (16, 32, 64, 96, 128),
    "blur": (48, 64, 96, 128),
}
QUALITY = 75  # of JPEG, with colours halved: Pillow's default
NOISE = 5.0  # levels, the standard deviation
BLUR = 1.0  # pixels of the small face, that of a Gaussian
FIGURES = ("PSNR", "SSIM", "sharpness", "identity distance")
DRAWN = ("averages", "bicubic", "JPEG", "noise", "blur")  # in the chart
SHOWN = {"bicubic": (12, 16, 24, 32, 48, 64, 96, 128), "JPEG": (32, 64, 128), "blur": (48, 128)}


def main(dataset, count=None):
    """Measures, writes the tables and the pictures."""
    options = Options(dataset=dataset, weights="shipped", sample_size=TRUTH)
    faces = load_faces(options)[: int(count or COUNT)]
    networks = {end: Networks(Options(weights="shipped", fidelity=end)) for end in (0.0, 1.0)}
    truth, rows = descriptors(to_uint8(faces)), []
    for way, sides in MADE.items():
        for side in sides:
            small = made_small(to_uint8(faces), way, side)
            held = np.mean([_part(image, networks[0.0]).consistent == "on" for image in small])
            for name, images in enlarged(small, networks):
                psnr, ssim, _, sharpness, identity, _ = measured(images, faces, faces, truth)
                rows.append((way, side, name, psnr, ssim, sharpness, identity, round(100 * held)))
                print(*rows[-1], flush=True)
    if not count:
        header = ("made by", "side", "enlarged by", *FIGURES, "of 100 held to their pixels")
        write_table("sides", header, rows)
        _draw_chart(rows)
        _draw_astronaut(networks)


def made_small(images, way, side):
    """Images uint8 [N, S, S, 3] made smaller and worse: uint8 [N, side, side, 3]."""
    if way == "blur":
        import scipy.ndimage

        width = BLUR * images.shape[1] / side
        images = to_uint8(
            scipy.ndimage.gaussian_filter(images / np.float32(255), (0, width, width, 0))
        )
    if way == "averages":  # Pillow's would be rounded twice
        return to_uint8(np.asarray(shrink(images / np.float32(255), side)))
    kernel = KERNELS.get(way, Image.Resampling.BOX)
    small = np.stack([Image.fromarray(image).resize((side, side), kernel) for image in images])
    if way == "JPEG":
        small = np.stack(list(map(_packed, small)))
    if way == "noise":
        noise = np.random.default_rng(0).normal(0.0, NOISE / 255, small.shape)
        small = to_uint8(small / 255 + noise)
    return small


def _packed(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=QUALITY)
    return np.asarray(Image.open(file))


def enlarged(small, networks):
    """Yields (name, uint8 images [N, 128, 128, 3]) of bicubic interpolation and each network.

    `networks` are run.weights.Networks by their fidelity. Results that are smaller than 128 pixels
    are interpolated.
    """
    yield "bicubic", _at_truth(small / np.float32(255))
    for fidelity, each in networks.items():
        parts = [_part(image, each) for image in small]
        [(_, outputs)] = Faces(each, Options()).enlarge([Item(parts, "", False, [])])
        results = [result for [result] in outputs]
        yield f"fidelity {fidelity:g}", _at_truth(np.stack(results))


def _part(image, networks):
    if len(image) in INPUTS:
        return picture_part(image, networks, looks_exact)[0]
    return face_part(image, eyes_of_box(0, 0, len(image)), networks)


def _at_truth(images):
    return to_uint8(interpolate(images, "bicubic", (TRUTH, TRUTH)).numpy())


def _draw_chart(rows):
    """PSNR over the side, for each way."""
    import matplotlib.pyplot  # here, for the tests of this module do without

    across = {"figsize": (3 * len(DRAWN), 3.5), "layout": "constrained"}
    chart, axes = matplotlib.pyplot.subplots(1, len(DRAWN), **across)
    for axis, way in zip(axes, DRAWN, strict=True):
        for name in dict.fromkeys(row[2] for row in rows):
            points = [row[1:4:2] for row in rows if row[0] == way and row[2] == name]
            axis.plot(*zip(*points, strict=True), marker="o", markersize=3, label=name)
        axis.set(title=way, xlabel="side of the face, pixels", xscale="log")
        axis.set_xticks(MADE[way], map(str, MADE[way]))
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("PSNR, dB")
    axes[0].legend()
    save_chart("sides", chart)


def _draw_astronaut(networks):
    """A row for each way and side: nearest, bicubic, both fidelities, truth."""
    photo, rows = skimage.data.astronaut(), []
    truth = to_uint8(align_face(photo, find_faces(photo)[0], TRUTH)[None])
    for way, sides in SHOWN.items():
        for side in sides:
            small = made_small(truth, way, side)
            nearest = interpolate(small / np.float32(255), "nearest", (TRUTH, TRUTH)).numpy()
            images = dict(enlarged(small, networks))
            rows.append({"input": to_uint8(nearest)} | images | {"truth": truth})
    columns = {title: np.concatenate([row[title] for row in rows]) for title in rows[0]}
    write_image(ROOT / "docs" / "sides.webp", titled_grid(columns))


if __name__ == "__main__":
    main(*sys.argv[1:])
