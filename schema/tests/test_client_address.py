"""Whose address a request has: the one that TRUSTED_PROXIES vouch for, whatever the client writes."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schema.http import Call

PEER = "192.0.2.1"
CLIENT = "203.0.113.7"
PROXY = "198.51.100.1"

# What a client may send by itself, with bytes that are no text.
FORGED = st.lists(
    st.sampled_from([b"", b",", b" , ", CLIENT.encode(), b"10.0.0.1, 10.0.0.2", b"::1", b"\xff", b"[", b"unknown"])
    | st.binary(max_size=20),
    max_size=4,
)


def address(*forwarded: str | bytes, peer: str | None = PEER) -> str | None:
    """The client's address, with one X-Forwarded-For header for each of `forwarded`."""
    values = [value if isinstance(value, bytes) else value.encode() for value in forwarded]
    scope: dict[str, Any] = {
        "method": "POST",
        "request_id": "x",
        "client": (peer, 1) if peer else None,
        "headers": [(b"x-forwarded-for", value) for value in values],
    }
    return Call(scope, None).client().ip  # type: ignore[arg-type]  # nothing is received


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FORGED)
def test_without_proxies_nothing_that_is_sent_counts(settings: Any, forged: list[bytes]) -> None:
    settings.TRUSTED_PROXIES = 0
    assert address(*forged) == PEER


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FORGED, st.integers(1, 4), st.booleans())
def test_behind_proxies_nothing_counts_that_the_client_has_put_before_theirs(
    settings: Any, forged: list[bytes], proxies: int, in_one_header: bool
) -> None:
    settings.TRUSTED_PROXIES = proxies
    # The outermost proxy adds the client's address, each further one that of the proxy before it.
    added = [CLIENT.encode(), *[PROXY.encode()] * (proxies - 1)]
    sent = [*forged, *added]
    assert address(*([b", ".join(sent)] if in_one_header else sent)) == CLIENT


@pytest.mark.parametrize(
    ("proxies", "forwarded"),
    [(1, []), (2, []), (2, [PROXY]), (2, [""]), (3, ["10.0.0.1, 10.0.0.2"]), (3, ["10.0.0.1", "10.0.0.2"])],
)
def test_who_comes_in_past_a_proxy_has_the_address_of_the_peer(
    settings: Any, proxies: int, forwarded: list[str]
) -> None:
    settings.TRUSTED_PROXIES = proxies
    assert address(*forwarded) == PEER


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (CLIENT, CLIENT),
        (f" {CLIENT}\t", CLIENT),
        (f"{CLIENT}:4711", CLIENT),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:0DB8:0:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", None),
        ("_hidden", None),
        ("unix:", None),
        ("203.0.113.7.8", None),
        ("203.0.113", None),
        ("[", None),
        ("2001:db8::1::2", None),
        (b"\xff", None),
    ],
)
def test_what_a_proxy_writes(settings: Any, written: str, read: str | None) -> None:
    settings.TRUSTED_PROXIES = 1
    assert address(written) == read


def test_a_peer_on_a_unix_socket_has_no_address(settings: Any) -> None:
    settings.TRUSTED_PROXIES = 0
    assert address(CLIENT, peer=None) is None
    settings.TRUSTED_PROXIES = 1
    assert address(CLIENT, peer=None) == CLIENT


@pytest.mark.parametrize("peer", ["::ffff:192.0.2.1", "::ffff:c000:201"])
def test_an_ipv4_address_that_a_socket_for_both_writes_as_ipv6_is_one(peer: str) -> None:
    """Else whoever has signed in by one would be known by the other to nobody."""
    assert address(peer=peer) == PEER
