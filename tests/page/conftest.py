"""A page with the networks in the box, and one who looks at it."""

from unittest.mock import Mock

import pytest

from srez.options import Options
from srez.page.serve import Page

VISITOR = Mock(session_hash="one")


@pytest.fixture(scope="package")
def page(tmp_path_factory):
    options = Options(run="serve", weights="shipped")
    page = Page(options, tmp_path_factory.mktemp("page"))
    page.load()
    return page
