import numpy as np

from srez.pictures.grid import GAP, GROUND, TITLE_HEIGHT, titled_grid
from tests.conftest import cell


def test_a_grid_has_columns_side_by_side_with_gaps_and_titles():
    first, second = np.zeros((2, 30, 50, 3)), np.ones((2, 30, 50, 3))
    grid = titled_grid({"black": first, "white": second}, magnify=2)
    assert grid.shape == (TITLE_HEIGHT + 2 * (60 + GAP), GAP + 2 * (100 + GAP), 3)
    assert (cell(grid, 1, 0, 60, 100) == 0).all()
    assert (cell(grid, 0, 1, 60, 100) == 255).all()
    assert (grid[TITLE_HEIGHT:] == GROUND).sum() == 3 * (212 * 2 * GAP + 3 * GAP * 120)
    for left in (GAP, 100 + 2 * GAP):
        letters = grid[:TITLE_HEIGHT, left : left + 100].max(axis=2) > 150
        assert 20 < letters.sum() < 400
        assert abs(letters.any(axis=0).nonzero()[0].mean() - 50) < 5


def test_a_title_is_as_wide_as_its_column_at_most():
    grid = titled_grid({"input 16x16 and more": np.zeros((1, 64, 64, 3))})
    assert (grid[:TITLE_HEIGHT, :GAP] == GROUND).all()
    assert (grid[:TITLE_HEIGHT] > 100).any()
