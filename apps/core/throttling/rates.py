"""How often something may be done, and the names that it is counted under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` times in any `seconds`, both at least 1."""

    count: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> Rate | None:
        """What a setting says that `Env.rate` has read: "10/minute" is ten in any minute, "off" None."""
        if text == "off":
            return None
        count, unit = text.split("/")
        return cls(int(count), SECONDS[unit])


# What an attempt is counted under, each key with its rate; None is not counted.
Hits: TypeAlias = Mapping[str, Rate | None]


def network(ip: str | None) -> str:
    """The part of a key that stands for a client's address.

    An IPv6 address counts by its /64, of which one subscriber has all addresses; an IPv4 address that is written as
    IPv6 counts as itself. All whose address is not known count as one. Raises ValueError for what is no address.
    """
    if ip is None:
        return "unknown"
    address = ip_address(ip)
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"
