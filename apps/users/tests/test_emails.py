import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.core.errors import DomainError, ErrorCode
from apps.users.emails import EMAIL_MAX, normalize_email
from apps.users.managers import UserManager
from apps.users.models import User


@pytest.mark.parametrize(
    ("spelled", "stored"),
    [
        ("ann@example.com", "ann@example.com"),
        (" Ann.Lee+News@EXAMPLE.com\n", "ann.lee+news@example.com"),
        ("ann@m\u00fcnchen.example", "ann@xn--mnchen-3ya.example"),
        ("ann@MU\u0308NCHEN.example", "ann@xn--mnchen-3ya.example"),
    ],
)
def test_an_address_has_one_form(spelled: str, stored: str) -> None:
    assert normalize_email(spelled) == stored
    assert normalize_email(stored) == stored


@pytest.mark.parametrize(
    "spelled",
    [
        "ann",
        "@",
        "ann@",
        "@example.com",
        "ann@example",
        "a b@example.com",
        "ann@@example.com",
        "ann@exa mple.com",
        "ann@-example.com",
        "ann@example..com",
        f"{'a' * 64}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 60}.com",
        # Short as it is typed, long as it is stored.
        "ann@" + ("\u00fc" * 30 + ".") * 7 + "example",
        "ann@example.com\x00",
        "an\x00n@example.com",
        "ann\ud800@example.com",
        "\u212aelvin@example.com",
        "m\u00fcller@example.com",
        "ann@example.com, bob@example.com",
        "ann@example.com\nbcc: bob@example.com",
        "<ann@example.com>",
        '"ann"@example.com',
        '"\x0bBcc: bob@example.com\x0b"@example.com',
        "ann@[127.0.0.1]",
        "root@localhost",
    ],
)
def test_what_is_no_address_is_refused(spelled: str) -> None:
    with pytest.raises(DomainError) as refusal:
        normalize_email(spelled)
    assert (refusal.value.code, refusal.value.field) == (ErrorCode.INVALID, "email")


@pytest.mark.parametrize("blank", ["", "  ", "\n\t"])
def test_a_blank_address_is_required(blank: str) -> None:
    with pytest.raises(DomainError) as refusal:
        normalize_email(blank)
    assert refusal.value.code is ErrorCode.REQUIRED


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.text(), st.emails(), st.builds("{}@{}".format, st.text(), st.text())))
def test_any_text_is_normal_or_refused(text: str) -> None:
    try:
        address = normalize_email(text)
    except DomainError:
        return
    assert address.isascii()
    assert address == address.lower()
    assert len(address) <= EMAIL_MAX
    assert normalize_email(address) == address


@pytest.mark.django_db
def test_users_are_found_by_any_spelling() -> None:
    user = User.objects.create_user("Ann@Example.com", first_name="Ann")
    manager: UserManager = User.objects
    assert manager.get_by_natural_key(" ANN@example.COM") == user
    for unknown in ("bob@example.com", "no address", "", None):
        with pytest.raises(User.DoesNotExist):
            manager.get_by_natural_key(unknown)


@pytest.mark.django_db
def test_a_superuser_may_do_everything() -> None:
    user = User.objects.create_superuser("root@example.com", "secret-phrase", first_name="Root")
    assert (user.is_staff, user.is_superuser, user.has_perm("posts.change_post")) == (True, True, True)
    assert str(user) == "root@example.com"
    assert (user.get_full_name(), user.get_short_name()) == ("Root", "Root")
