"""What the tests of `apps.core` share."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.throttling import STORES, keys_of_our_own


@pytest.fixture(params=STORES)
def key(request: pytest.FixtureRequest, settings: Any) -> Iterator[str]:
    """A key that nobody has used, in each of the stores in turn."""
    settings.RATE_LIMIT_URL = STORES[request.param]
    with keys_of_our_own(settings.RATE_LIMIT_URL) as prefix:
        yield f"{prefix}key"
