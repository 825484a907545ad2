"""The opaque ids of rows, as the API gives them and as links to its clients' pages carry them."""

from binascii import b2a_base64
from collections.abc import Iterable


def global_id(type_name: str, key: int) -> str:
    """The opaque id of a row in this API: the base64 of `Type:key`."""
    return global_ids(type_name, (key,))[0]


def global_ids(type_name: str, keys: Iterable[int]) -> list[str]:
    """The opaque ids of many rows."""
    prefix = f"{type_name}:"
    return [b2a_base64(f"{prefix}{key}".encode(), newline=False).decode() for key in keys]
