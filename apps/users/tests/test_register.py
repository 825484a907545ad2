from typing import Any

import pytest

from apps.core.client import Client
from apps.core.errors import DomainError, DomainErrors
from apps.users import services
from apps.users.models import User
from tests.api import Api
from tests.make import PASSWORD, Make

pytestmark = pytest.mark.django_db

NEW = {"email": "ann@example.com", "password": PASSWORD, "firstName": "Ann"}


async def test_makes_an_account_that_can_sign_in(api: Api) -> None:
    selection = "user { email firstName lastName fullName emailVerified }"
    payload = await api.payload("register", selection, **{**NEW, "lastName": "Lee"})
    assert payload["errors"] == []
    user = await User.objects.aget()
    assert (user.email, user.first_name, user.last_name) == ("ann@example.com", "Ann", "Lee")
    assert (user.is_active, user.is_staff, user.is_superuser) == (True, False, False)
    assert user.password != PASSWORD
    signed_in = await api.payload("login", "accessToken", email="ann@example.com", password=PASSWORD)
    assert signed_in["accessToken"]


async def test_the_new_account_is_not_signed_in_yet(api: Api) -> None:
    payload = await api.payload("register", "user { firstName email sessions { id } }", **NEW)
    assert payload["user"] == {"firstName": "Ann", "email": None, "sessions": None}


@pytest.mark.parametrize("email", ["  Ann@Example.COM ", "ANN@EXAMPLE.COM", "ann@example.com"])
async def test_spellings_of_an_address_are_one_account(api: Api, email: str) -> None:
    await api.payload("register", "", **NEW)
    assert await api.refused("register", **{**NEW, "email": email}) == [("UNIQUE", ["email"])]
    assert await User.objects.acount() == 1


@pytest.mark.parametrize(
    ("changes", "refusals"),
    [
        ({"email": " "}, [("REQUIRED", ["email"])]),
        ({"email": "ann"}, [("INVALID", ["email"])]),
        ({"email": "ann@"}, [("INVALID", ["email"])]),
        ({"email": "@example.com"}, [("INVALID", ["email"])]),
        ({"email": f"{'a' * 250}@example.com"}, [("INVALID", ["email"])]),
        ({"email": "ann\n@example.com"}, [("INVALID", ["email"])]),
        ({"firstName": " \u200b\u2060 "}, [("REQUIRED", ["firstName"])]),
        ({"firstName": "A" * 101}, [("INVALID", ["firstName"])]),
        ({"firstName": "A\nnn"}, [("INVALID", ["firstName"])]),
        ({"lastName": "A" * 101}, [("INVALID", ["lastName"])]),
        ({"password": ""}, [("PASSWORD_TOO_WEAK", ["password"])]),
        ({"password": "too-short"}, [("PASSWORD_TOO_WEAK", ["password"])]),
        ({"password": "passwordpassword"[:8]}, [("PASSWORD_TOO_WEAK", ["password"])]),
        ({"password": "1234567890123"}, [("PASSWORD_TOO_WEAK", ["password"])]),
        ({"password": "annabellelee", "firstName": "Annabelle Lee"}, [("PASSWORD_TOO_WEAK", ["password"])]),
        ({"password": "ann@example.com"}, [("PASSWORD_TOO_WEAK", ["password"])]),
        ({"password": "x" * 1_001}, [("INVALID", ["password"])]),
        (
            {"email": "ann", "firstName": "", "password": "short"},
            [("INVALID", ["email"]), ("REQUIRED", ["firstName"]), ("PASSWORD_TOO_WEAK", ["password"])],
        ),
    ],
)
async def test_refusals_name_their_fields_and_store_nothing(
    api: Api, changes: dict[str, str], refusals: list[tuple[str, list[str]]]
) -> None:
    assert await api.refused("register", **{**NEW, **changes}) == refusals
    assert not await User.objects.aexists()


async def test_refusals_of_a_payload_leave_its_object_null(api: Api) -> None:
    payload = await api.payload("register", "user { id }", **{**NEW, "email": "x"})
    assert payload["user"] is None


async def test_names_are_stored_in_nfc_without_surrounding_space(api: Api, make: Make) -> None:
    payload = await api.payload("register", "user { firstName }", **{**NEW, "firstName": "  Ame\u0301lie "})
    assert payload["user"]["firstName"] == "Am\u00e9lie"


def test_registration_inside_a_larger_transaction_fails_alone() -> None:
    """The unique index is hit in a savepoint, so that a caller's transaction goes on."""
    fields: dict[str, Any] = {"password": PASSWORD, "first_name": "Ann", "last_name": "", "client": Client()}
    services.user_register(email="ann@example.com", **fields)
    with pytest.raises(DomainError, match="account already"):
        services.user_register(email="ANN@example.com", **fields)
    services.user_register(email="bob@example.com", **fields)
    assert User.objects.count() == 2


def test_the_message_of_several_refusals_has_them_all() -> None:
    with pytest.raises(DomainErrors, match=r"e-mail address.*; Must not be blank"):
        services.user_register(email="x", password=PASSWORD, first_name=" ", last_name="", client=Client())
