"""Measures the newest checkpoint on the test pictures: python -m tests.quality --dataset ...

Takes srez_main's flags (--dataset, --checkpoint_dir, --batch_size, --random_seed, --test_vectors).
Prints a JSON line each for bicubic interpolation, the averaged and the raw weights: the means over
the test pictures of PSNR and LR-PSNR in dB, after rounding to 8 bits, and of the colour in each
channel less the truth's.
"""

import functools
import json
import sys

import numpy as np
import tensorflow as tf

import srez_main
from srez_generator import load_generator, upscale
from srez_image import to_uint8
from srez_input import load_pictures
from srez_metrics import lr_psnr, psnr
from srez_source import open_source, split_source

CHUNK = 32  # pictures through the network at a time


def main(argv):
    """Prints the figures of the run that the flags in argv describe."""
    srez_main.FLAGS(argv)
    config = srez_main.train_config()
    for images in ("bicubic", "ema", "raw"):
        print(json.dumps(measure(config, images)), flush=True)


def measure(config, images):
    """The figures, a dict, of "bicubic" interpolation or of the "ema" or "raw" weights."""
    low_res, high_res = _test_pictures(config)
    if images == "bicubic":
        found = tf.image.resize(low_res, high_res.shape[1:3], method="bicubic")
    else:
        generator, _ = load_generator(config.checkpoint_dir, images)
        parts = [low_res[at : at + CHUNK] for at in range(0, len(low_res), CHUNK)]
        found = np.concatenate([upscale(generator, part) for part in parts])
    found = to_uint8(found) / 255.0
    colour = found.mean((0, 1, 2)) - high_res.mean((0, 1, 2))
    return {
        "images": images,
        "count": len(found),
        "psnr": round(float(psnr(found, high_res).mean()), 2),
        "lr_psnr": round(float(lr_psnr(found, low_res).mean()), 2),
        "colour": [round(float(difference), 4) for difference in colour],
    }


@functools.lru_cache(maxsize=1)
def _test_pictures(config):
    source = open_source(config.dataset)
    split = split_source(source, config.test_vectors, config.random_seed, config.batch_size)
    return load_pictures(source, split.test, config.sample_size)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
