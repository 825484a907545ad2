"""The keys of access tokens: one that signs, and those that signed before and still verify."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True, slots=True)
class Key:
    """A key, the one algorithm that it is used with, and its name in the headers of tokens."""

    kid: str
    algorithm: str
    signing: Any
    verifying: Any


@dataclass(frozen=True, slots=True)
class Ring:
    """The key that signs, and all that verify, by their names."""

    current: Key
    by_kid: dict[str, Key]
    # Says which keys these are.
    name: str


def ring() -> Ring:
    """The keys of the settings: JWT_SIGNING_KEY_FILE (EdDSA) or JWT_SIGNING_KEY (HS256), and JWT_PREVIOUS_…

    Files are read once. Raises ImproperlyConfigured for one that holds no Ed25519 key in PEM.
    """
    return _ring(
        settings.JWT_SIGNING_KEY,
        settings.JWT_SIGNING_KEY_FILE,
        tuple(settings.JWT_PREVIOUS_KEYS),
        tuple(settings.JWT_PREVIOUS_KEY_FILES),
    )


@lru_cache(maxsize=8)
def _ring(secret: str, file: str, previous: Sequence[str], previous_files: Sequence[str]) -> Ring:
    current = _from_file(file) if file else _from_secret(secret)
    if current.signing is None:
        raise ImproperlyConfigured(f"{file} holds a public key: JWT_SIGNING_KEY_FILE has to hold a private one.")
    keys = [current, *map(_from_secret, previous), *map(_from_file, previous_files)]
    by_kid = {key.kid: key for key in keys}
    return Ring(current, by_kid, " ".join(by_kid))


def _from_secret(secret: str) -> Key:
    return Key(_kid(b"HS256" + secret.encode()), "HS256", secret, secret)


def _from_file(path: str) -> Key:
    refusal = ImproperlyConfigured(f"{path} has to hold an Ed25519 key in PEM, without a password.")
    try:
        pem = Path(path).read_bytes()
        key = load_pem_public_key(pem) if b"PUBLIC KEY" in pem else load_pem_private_key(pem, None)
    except (OSError, ValueError, TypeError) as error:
        raise refusal from error
    public = key.public_key() if isinstance(key, Ed25519PrivateKey) else key
    if not isinstance(public, Ed25519PublicKey):
        raise refusal
    return Key(_kid(public.public_bytes_raw()), "EdDSA", key if key is not public else None, public)


def _kid(material: bytes) -> str:
    """A name that says nothing of the key but whether it is the same one."""
    return hashlib.sha256(material).hexdigest()[:16]
