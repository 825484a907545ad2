"""Access tokens and the keys that sign them: one that does, and some that did."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.core.exceptions import ImproperlyConfigured

from apps.users import tokens
from apps.users.keys import ring
from apps.users.tokens import InvalidToken

OLD, NEW, OTHER = "old-key-" * 6, "new-key-" * 6, "other-key-" * 6


def issue() -> str:
    return tokens.issue_access(7, 8, datetime.now(UTC))[0]


def is_mine(token: str) -> bool:
    claims = tokens.verify_access(token)
    return (claims.user_id, claims.session_id) == (7, 8)


def signed_with(secret: bytes, header: dict[str, Any], payload: str) -> str:
    """A token whose HMAC is good, with a header that PyJWT itself might not write."""
    head = jwt.utils.base64url_encode(json.dumps(header).encode()).decode()
    signature = jwt.get_algorithm_by_name("HS256").sign(f"{head}.{payload}".encode(), secret)
    return f"{head}.{payload}.{jwt.utils.base64url_encode(signature).decode()}"


def private_pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """The files of an Ed25519 key, private and public."""
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(private_pem(key))
    public.write_bytes(public_pem(key))
    return private, public


def test_what_an_old_key_has_signed_is_good_for_as_long_as_that_is_known(settings: Any) -> None:
    settings.JWT_SIGNING_KEY = OLD
    token = issue()
    settings.JWT_SIGNING_KEY, settings.JWT_PREVIOUS_KEYS = NEW, [OTHER, OLD]
    assert is_mine(token)
    assert jwt.get_unverified_header(issue())["kid"] == ring().current.kid != jwt.get_unverified_header(token)["kid"]
    settings.JWT_PREVIOUS_KEYS = [OTHER]
    with pytest.raises(InvalidToken):
        tokens.verify_access(token)


@pytest.mark.parametrize("kid", ["OLD", "", "x", "x" * 5_000, "../x", None, 7, ["x"], {"x": 1}])
def test_a_name_that_is_not_its_keys_is_refused(settings: Any, kid: Any) -> None:
    settings.JWT_SIGNING_KEY, settings.JWT_PREVIOUS_KEYS = NEW, [OLD]
    [old] = ring().by_kid.keys() - {ring().current.kid}
    header = {"alg": "HS256", "typ": "JWT", "kid": old if kid == "OLD" else kid}
    payload = issue().split(".")[1]
    with pytest.raises(InvalidToken):
        tokens.verify_access(signed_with(NEW.encode(), header, payload))
    assert is_mine(signed_with(NEW.encode(), {**header, "kid": ring().current.kid}, payload))


def test_a_key_file_signs_with_eddsa(settings: Any, pair: tuple[Path, Path]) -> None:
    settings.JWT_SIGNING_KEY_FILE = str(pair[0])
    token = issue()
    assert jwt.get_unverified_header(token)["alg"] == "EdDSA"
    assert is_mine(token)
    assert jwt.decode(token, pair[1].read_bytes(), ["EdDSA"], audience=settings.JWT_AUDIENCE)["sub"] == "7"


def test_keys_can_be_exchanged_for_files_and_files_for_files(settings: Any, pair: tuple[Path, Path]) -> None:
    secret_token = issue()
    settings.JWT_PREVIOUS_KEYS, settings.JWT_SIGNING_KEY_FILE = [settings.JWT_SIGNING_KEY], str(pair[0])
    file_token = issue()
    assert is_mine(secret_token)
    settings.JWT_SIGNING_KEY_FILE, settings.JWT_PREVIOUS_KEY_FILES = "", [str(pair[1])]
    assert is_mine(file_token)
    settings.JWT_PREVIOUS_KEY_FILES = [str(pair[0])]
    assert is_mine(file_token)
    settings.JWT_PREVIOUS_KEY_FILES = []
    with pytest.raises(InvalidToken):
        tokens.verify_access(file_token)


def test_a_public_key_is_no_secret_to_sign_with(settings: Any, pair: tuple[Path, Path]) -> None:
    """The confusion of HS256 with signatures: everybody knows the public key."""
    settings.JWT_SIGNING_KEY_FILE = str(pair[0])
    payload = issue().split(".")[1]
    header = {"alg": "HS256", "typ": "JWT", "kid": ring().current.kid}
    for secret in (pair[1].read_bytes(), ring().current.verifying.public_bytes_raw()):
        with pytest.raises(InvalidToken):
            tokens.verify_access(signed_with(secret, header, payload))


def test_a_file_without_such_a_key_is_refused_by_its_name(settings: Any, tmp_path: Path) -> None:
    pems = {
        "rsa": private_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        "nothing": b"",
        "broken": b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "public": public_pem(ed25519.Ed25519PrivateKey.generate()),
    }
    for name, pem in pems.items():
        path = tmp_path / f"{name}.pem"
        path.write_bytes(pem)
        settings.JWT_SIGNING_KEY_FILE = str(path)
        with pytest.raises(ImproperlyConfigured, match=f"{name}.pem"):
            ring()
