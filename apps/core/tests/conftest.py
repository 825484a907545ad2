"""What the tests of `apps.core` share."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.throttling import STORES, keys_of_our_own
from tests.worker import BENCHES, Bench, bench_on


@pytest.fixture(params=STORES)
def key(request: pytest.FixtureRequest, settings: Any) -> Iterator[str]:
    """A key that nobody has used, in each of the stores in turn."""
    settings.RATE_LIMIT_URL = STORES[request.param]
    with keys_of_our_own(settings.RATE_LIMIT_URL) as prefix:
        yield f"{prefix}key"


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """On each of the brokers."""
    with bench_on(request.param) as bench:
        yield bench


@pytest.fixture
def on_database() -> Iterator[Bench]:
    """On PostgreSQL alone, for what has nothing to do with the broker."""
    with bench_on("postgresql") as bench:
        yield bench
