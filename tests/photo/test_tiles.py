import keras
import numpy as np
import pytest
import tensorflow as tf

import srez.photo.tiles
import srez_model
from srez import modern
from srez.pictures.image import to_uint8
from srez.run.weights import NETWORKS, finished, networks_of, upscale


@pytest.fixture(scope="module", params=NETWORKS)
def recipe(request):
    return request.param


@pytest.fixture(scope="module")
def generator(recipe):
    """A generator whose every convolution counts: untrained, most would hardly change a thing."""
    keras.utils.set_random_seed(0)
    with pytest.MonkeyPatch.context() as patch:  # as deep as it is, but narrow
        patch.setattr(srez_model, "RES_UNITS", (16, 16, 16))
        patch.setattr(modern, "UNITS", (16, 16, 16))
        network = networks_of(recipe).build_generator()
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose) and layer.use_bias:
            fan = np.prod(layer.kernel.shape[:2]) * layer.kernel.shape[-1]
            layer.kernel.assign(tf.random.normal(layer.kernel.shape, stddev=fan**-0.5))
            layer.bias.assign(tf.random.normal(layer.bias.shape, stddev=0.1))
    return network


def _picture(height, width):
    levels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return levels / np.float32(255.0)


def test_tiles_give_what_the_whole_picture_gives(generator, recipe):
    image = _picture(45, 37)
    margin = networks_of(recipe).RADIUS + networks_of(recipe).PROJECTION_RADIUS
    used = finished(generator, recipe, "on")
    whole = to_uint8(upscale(used, image[None])[0])
    network = srez.photo.tiles.as_graph(used)
    tiled = srez.photo.tiles.upscale_tiled(network, image, 16, margin)
    assert tiled.shape == (180, 148, 3)
    assert whole.std() > 20
    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_the_margin_is_the_generators_receptive_field(generator, recipe):
    radius = networks_of(recipe).RADIUS
    free = finished(generator, recipe, "off")
    low_res = np.full((1, 71, 71, 3), 0.5, np.float32)
    before = upscale(free, low_res)
    low_res[0, 35, 35] = 1.0
    rows, columns, _ = np.nonzero((upscale(free, low_res) != before)[0])
    for changed in (rows, columns):
        assert changed.min() // 4 == 35 - radius
        assert changed.max() // 4 == 35 + radius


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (17, 40)])
def test_no_tile_with_its_margin_is_larger_than_asked_for(shape):
    sizes = []

    def network(low_res):
        sizes.append(max(low_res.shape[1:3]))
        return low_res.repeat(4, axis=1).repeat(4, axis=2)

    image = _picture(*shape)
    expected = to_uint8(image.repeat(4, axis=0).repeat(4, axis=1))
    assert (srez.photo.tiles.upscale_tiled(network, image, 16, 7) == expected).all()
    assert max(sizes) <= 16 + 2 * 7


@pytest.mark.parametrize(("shape", "expected"), [((300, 131), (86, 1)), ((5, 128), (0, 0))])
def test_the_middle_of_the_result_lies_where_that_of_the_picture_does(shape, expected):
    image = _picture(*shape)
    result = image.repeat(4, axis=0).repeat(4, axis=1)
    low_res, sample = srez.photo.tiles.middle(image[None], result[None])
    top, left = expected
    assert (low_res[0, 0, 0] == image[top, left]).all()
    assert low_res.shape == (1, min(shape[0], 128), 128, 3)
    assert (sample == low_res.repeat(4, axis=1).repeat(4, axis=2)).all()
