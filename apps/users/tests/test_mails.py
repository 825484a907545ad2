import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.core import mail
from django.core.mail import EmailMultiAlternatives
from django.db import transaction
from django.utils.html import escape
from dramatiq import Message, MessageProxy, get_broker
from dramatiq.middleware import CurrentMessage

from apps.users import email_tokens, mails, tasks
from apps.users.models import EmailTokenPurpose
from tests.make import make_user

TEMPLATES = Path(mails.__file__).parent / "templates" / "users" / "mail"
NAMES = sorted(path.stem for path in TEMPLATES.glob("*.txt"))
TOKEN = "to_ken-0123456789"


def sent(name: str, **context: Any) -> tuple[str, str, str]:
    """Subject, text and HTML of a mail."""
    mails.send(name, "ann@example.com", **context)
    message = mail.outbox[-1]
    assert isinstance(message, EmailMultiAlternatives)
    [alternative] = message.alternatives
    content, mimetype = alternative
    assert (message.to, mimetype) == (["ann@example.com"], "text/html")
    return str(message.subject), str(message.body), str(content)


@pytest.mark.parametrize("name", NAMES)
def test_each_mail_has_a_subject_and_says_the_same_in_text_and_html(name: str) -> None:
    subject, text, html = sent(name, token=TOKEN, ip="192.0.2.1")
    assert subject
    assert subject not in text.splitlines()
    assert html.startswith("<!doctype html>")
    assert f"<title>{subject}</title>" in html
    for paragraph in text.strip().split("\n\n"):
        assert escape(paragraph) in html
    assert "{" not in text + html


@pytest.mark.parametrize("name", ["verify_email", "reset_password", "change_email"])
def test_a_token_comes_by_itself_or_behind_the_hash_of_a_link(name: str, settings: Any) -> None:
    _, text, html = sent(name, token=TOKEN)
    assert f"\n{TOKEN}\n" in text
    assert "://" not in text
    settings.FRONTEND_URL = "https://app.example.com"
    _, text, html = sent(name, token=TOKEN)
    link = f"https://app.example.com/{name.replace('_', '-')}#token={TOKEN}"
    assert f"\n{link}\n" in text
    assert f'<a href="{link}"' in html
    assert text.count(TOKEN) == 1


@pytest.mark.django_db
@pytest.mark.parametrize("first_name", ["Buy at https://evil.example.com", "<b>Ann</b>", "Ann\u202e"])
def test_no_mail_says_what_somebody_else_has_chosen(first_name: str) -> None:
    """Whoever registers with a stranger's address would have us send them anything."""
    user = make_user(email="ann@example.com", first_name=first_name, last_name=first_name, bio=first_name)
    tasks.mail_confirmation(user.email)
    tasks.mail_password_reset(user.email)
    tasks.mail_email_change(user.pk, "new@example.com", user.get_session_auth_hash())
    other = make_user()
    tasks.mail_email_change(other.pk, user.email, other.get_session_auth_hash())
    assert len(mail.outbox) == 4
    for message in mail.outbox:
        everything = f"{message.message()}"
        assert first_name not in everything
        assert "evil" not in everything


@pytest.mark.django_db
def test_an_account_that_is_gone_or_locked_gets_no_token() -> None:
    user = make_user(is_active=False)
    tasks.mail_confirmation(user.email)
    tasks.mail_password_reset(user.email)
    tasks.mail_email_change(user.pk, "new@example.com", user.get_session_auth_hash())
    tasks.mail_email_change(0, "new@example.com", "")
    tasks.mail_password_reset("nobody@example.com")
    assert mail.outbox == []
    assert not user.email_tokens.exists()


@pytest.mark.django_db
def test_a_mail_that_is_sent_twice_leaves_both_tokens_good() -> None:
    """A worker that dies after sending does so again; whichever mail is read works."""
    user = make_user()
    for _ in range(2):
        tasks.mail_confirmation(user.email)
    assert user.email_tokens.filter(purpose=EmailTokenPurpose.VERIFY_EMAIL, used_at=None).count() == 2


@contextmanager
def at_work(message_id: str) -> Iterator[None]:
    """A worker does what this message asks for."""
    middleware = CurrentMessage()
    message = MessageProxy(Message("default", "any", (), {}, {}, message_id=message_id))
    middleware.before_process_message(get_broker(), message)  # type: ignore[no-untyped-call]
    yield
    middleware.after_process_message(get_broker(), message)  # type: ignore[no-untyped-call]


@pytest.mark.django_db
def test_a_task_that_is_done_again_sends_the_same_mail_with_the_same_token() -> None:
    """Its mail may have gone out, although its transaction was rolled back: both links are good then."""
    user = make_user(email="ann@example.com")
    first, second = uuid4(), uuid4()
    for message_id in (first, first, second):
        with at_work(str(message_id)), transaction.atomic():
            tasks.mail_password_reset(user.email)
            if len(mail.outbox) == 1:
                transaction.set_rollback(True)
    ids = [sent.message()["Message-ID"] for sent in mail.outbox]
    bodies = [sent.body for sent in mail.outbox]
    assert ids[0] == ids[1] != ids[2]
    assert bodies[0] == bodies[1] != bodies[2]
    assert re.fullmatch(r"<[0-9a-f-]{36}@localhost>", ids[0])
    assert str(first) not in ids[0]
    tokens = [token for token in bodies[0].split() if len(token) == 43]
    assert [email_tokens.redeem(token, EmailTokenPurpose.RESET_PASSWORD).user for token in tokens] == [user]


def test_a_mail_that_no_task_sends_has_an_id_of_its_own() -> None:
    for _ in range(2):
        mails.send("verify_email", "ann@example.com", token=TOKEN)
    first, second = (sent.message()["Message-ID"] for sent in mail.outbox)
    assert first != second


def test_a_mail_server_that_does_not_answer_is_given_up(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = silent.getsockname()
        settings.EMAIL_TIMEOUT = 0.1
        with pytest.raises(OSError, match="timed out"):
            mails.send("verify_email", "ann@example.com", token=TOKEN)
