from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from apps.users import tokens
from apps.users.keys import ring

REMOVED: Any = object()


def signed(key: Any = None, algorithm: str | None = "HS256", headers: Any = None, **changes: Any) -> str:
    """An access token like those of `issue_access`, but for the changes; durations count from now."""
    claims: dict[str, Any] = {
        "sub": "7",
        "sid": "8",
        "typ": "access",
        "iat": timedelta(0),
        "nbf": timedelta(0),
        "exp": timedelta(days=2),
        "iss": settings.JWT_ISSUER,
        "aud": settings.JWT_AUDIENCE,
        "jti": "x",
    } | changes
    now = datetime.now(UTC)
    claims = {
        name: now + value if isinstance(value, timedelta) else value
        for name, value in claims.items()
        if value is not REMOVED
    }
    key = settings.JWT_SIGNING_KEY if key is None else key
    return jwt.encode(claims, key, algorithm, {"kid": ring().current.kid} | (headers or {}))


def test_a_token_says_whose_it_is_and_for_how_long() -> None:
    now = datetime.now(UTC)
    token, expires_at = tokens.issue_access(7, 8, now)
    good_until = int(expires_at.timestamp()) + tokens.LEEWAY_SECONDS
    assert tokens.verify_access(token) == tokens.Claims(user_id=7, session_id=8, good_until=good_until)
    assert expires_at == (now + settings.JWT_ACCESS_LIFETIME).replace(microsecond=0)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] == int(expires_at.timestamp())
    assert set(claims) == set(tokens.REQUIRED_CLAIMS)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": ring().current.kid}


def test_no_two_tokens_are_the_same() -> None:
    now = datetime.now(UTC)
    assert tokens.issue_access(7, 8, now) != tokens.issue_access(7, 8, now)
    assert tokens.new_secret()[0] != tokens.new_secret()[0]


def test_the_token_that_the_others_vary_is_good() -> None:
    assert tokens.verify_access(signed()).user_id == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": -timedelta(seconds=10)},
        {"nbf": timedelta(days=1)},
        {"iat": timedelta(days=1)},
        {"aud": "somebody-else"},
        {"aud": []},
        {"iss": "somebody-else"},
        {"typ": "refresh"},
        {"typ": ["access"]},
        {"typ": ""},
        {"sub": "seven"},
        {"sub": ""},
        {"sid": "eight"},
        {"sid": []},
        {"sid": {}},
        {"exp": "soon"},
        *({claim: REMOVED} for claim in tokens.REQUIRED_CLAIMS),
        *({claim: None} for claim in tokens.REQUIRED_CLAIMS if claim not in {"iat", "nbf", "exp", "iss", "sub"}),
    ],
    ids=" and ".join,
)
def test_claims_that_do_not_hold_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(signed(**changes))


def test_an_expired_token_is_told_apart_so_that_clients_renew() -> None:
    with pytest.raises(tokens.InvalidToken, match="expired"):
        tokens.verify_access(signed(exp=-timedelta(seconds=10)))


def test_a_token_that_was_seen_before_expires_too(monkeypatch: pytest.MonkeyPatch) -> None:
    token, expires_at = tokens.issue_access(7, 8, datetime.now(UTC))
    assert tokens.verify_access(token).user_id == 7
    for late, is_good in ((tokens.LEEWAY_SECONDS - 1, True), (tokens.LEEWAY_SECONDS + 1, False)):
        monkeypatch.setattr(tokens, "time", lambda late=late: expires_at.timestamp() + late)
        if is_good:
            assert tokens.verify_access(token).user_id == 7
        else:
            with pytest.raises(tokens.InvalidToken, match="expired"):
                tokens.verify_access(token)


def test_a_token_of_a_server_whose_clock_is_a_little_ahead_is_good() -> None:
    ahead = timedelta(seconds=3)
    assert tokens.verify_access(signed(iat=ahead, nbf=ahead)).user_id == 7


def test_a_token_without_a_signature_is_refused() -> None:
    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(signed(key="", algorithm=None))
    header, payload, _ = signed().split(".")
    for token in (f"{header}.{payload}.", f"{header}.{payload}"):
        with pytest.raises(tokens.InvalidToken):
            tokens.verify_access(token)


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_with_the_right_key_is_refused(algorithm: str) -> None:
    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(signed(key=settings.JWT_SIGNING_KEY * 2, algorithm=algorithm))


def test_another_key_is_refused() -> None:
    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(signed(key="x" * 46))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "HS512", "none", "None", "hs256", ""])
def test_a_header_that_names_another_algorithm_is_refused(algorithm: str) -> None:
    """The confusion of algorithms, at its worst: the HMAC signature itself is good."""
    header = jwt.utils.base64url_encode(
        f'{{"alg":"{algorithm}","typ":"JWT","kid":"{ring().current.kid}"}}'.encode()
    ).decode()
    payload = signed().split(".")[1]
    key = settings.JWT_SIGNING_KEY.encode()
    signature = jwt.get_algorithm_by_name("HS256").sign(f"{header}.{payload}".encode(), key)
    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(f"{header}.{payload}.{jwt.utils.base64url_encode(signature).decode()}")


def test_each_tampered_part_breaks_the_token() -> None:
    parts = signed().split(".")
    others = signed(sub="9", headers={"kid": "x"}).split(".")
    for place in range(3):
        mixed = [others[i] if i == place else parts[i] for i in range(3)]
        with pytest.raises(tokens.InvalidToken):
            tokens.verify_access(".".join(mixed))


@examples(deadline=None, max_examples=300)
@given(st.one_of(st.text(), st.binary().map(lambda data: data.decode("latin-1")), st.from_regex(r"\w*\.\w*\.\w*")))
def test_any_text_is_no_token(text: str) -> None:
    with pytest.raises(tokens.InvalidToken):
        tokens.verify_access(text)


@examples(deadline=None, max_examples=200)
@given(st.text(st.characters(codec=None)))
def test_any_text_has_a_digest(text: str) -> None:
    assert len(tokens.digest(text)) == 32


def test_a_refresh_token_has_256_random_bits_and_a_stable_digest() -> None:
    token, digest = tokens.new_secret()
    assert len(token) == 43
    assert tokens.digest(token) == digest
