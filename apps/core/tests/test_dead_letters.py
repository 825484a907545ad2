"""What an operator can do about tasks that have failed for good."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from dramatiq import Message

from apps.core import dead_letters, outbox
from apps.core.models import DeadLetter, OutboxMessage
from apps.users import tasks
from tests.make import make_user
from tests.statements import statements_of

pytestmark = pytest.mark.django_db

LIST = reverse("admin:core_deadletter_changelist")
ERROR = "Traceback …\nsmtplib.SMTPRecipientsRefused: {'ann@example.com': 550}\n"


def make_letter(**options: Any) -> DeadLetter:
    message = tasks.mail_email_change.message(5, "ann@example.com", "3f2a")
    message.options.update({"retries": 3, "requeue_timestamp": 1, "redis_message_id": "x", **options})
    dead_letters.store(message, ERROR)
    return DeadLetter.objects.get(message_id=message.message_id)


def sent() -> list[Message[Any]]:
    return [Message.decode(bytes(row.message)) for row in OutboxMessage.objects.order_by("pk")]


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    call_command("dead_letters", *map(str, arguments))
    return capsys.readouterr().out


def test_a_message_is_kept_once_however_often_it_is_given_up() -> None:
    letter = make_letter()
    dead_letters.store(Message.decode(bytes(letter.message)), "another error")
    assert DeadLetter.objects.get().error == ERROR


def test_requeueing_sends_the_same_message_as_if_for_the_first_time() -> None:
    letter = make_letter(max_retries=7)
    before = Message.decode(bytes(letter.message))
    assert dead_letters.requeue(DeadLetter.objects.all()) == 1
    [message] = sent()
    assert (message.message_id, message.args, message.options) == (before.message_id, before.args, {"max_retries": 7})
    assert message.message_timestamp >= before.message_timestamp
    assert not DeadLetter.objects.exists()


def test_requeueing_does_all_or_nothing() -> None:
    make_letter()
    with connection.cursor() as cursor:
        cursor.execute("CREATE RULE no_deletion AS ON DELETE TO core_deadletter DO INSTEAD SELECT 1 / 0")
    with pytest.raises(DatabaseError), transaction.atomic():
        dead_letters.requeue(DeadLetter.objects.all())
    assert (DeadLetter.objects.count(), sent()) == (1, [])


def test_arguments_are_shown_by_name_and_without_secrets() -> None:
    assert dead_letters.arguments(make_letter()) == "user_id=5, email='ann@example.com', password_then=…"


def test_texts_for_an_actor_that_there_is_no_longer_may_be_secrets() -> None:
    message = tasks.mail_email_change.message(5, "ann@example.com", "3f2a").copy(actor_name="gone")
    dead_letters.store(message, ERROR)
    assert dead_letters.arguments(DeadLetter.objects.get()) == "0=5, 1=…, 2=…"


def test_the_command_lists_and_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "list") == ""
    assert json.loads(run(capsys, "list", "--json")) == []
    letter = make_letter()
    listed = run(capsys, "list")
    assert listed.split()[0] == str(letter.pk)
    assert "mail_email_change  smtplib.SMTPRecipientsRefused" in listed
    assert run(capsys, "list", "--actor", "another") == ""
    [described] = json.loads(run(capsys, "list", "--json"))
    assert (described["id"], described["message_id"], described["retries"]) == (letter.pk, str(letter.message_id), 3)
    for name in (letter.pk, letter.message_id):
        shown = run(capsys, "show", name)
        assert "password_then=…" in shown
        assert shown.rstrip().endswith(ERROR.rstrip())


def test_the_command_requeues_what_it_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, third = make_letter(), make_letter(), make_letter()
    assert run(capsys, "requeue", first.pk, second.message_id) == "Requeued 2 dead letters.\n"
    assert [message.message_id for message in sent()] == [str(first.message_id), str(second.message_id)]
    assert run(capsys, "requeue", "--actor", "another") == "Requeued 0 dead letters.\n"
    assert DeadLetter.objects.get() == third
    assert run(capsys, "requeue", "--all") == "Requeued 1 dead letter.\n"


@pytest.mark.parametrize("unknown", ["0", "99999999999999999999", "ann", "not-a-uuid", "²"])
def test_an_unknown_id_fails_the_command_before_it_does_anything(unknown: str) -> None:
    letter = make_letter()
    for command in (["show", unknown], ["requeue", str(letter.pk), unknown]):
        with pytest.raises(CommandError, match="no dead letter"):
            call_command("dead_letters", *command)
    assert (DeadLetter.objects.count(), sent()) == (1, [])


@pytest.mark.parametrize("arguments", [["requeue"], ["requeue", "5", "--all"], ["purge"], ["purge", "--older-than=-1"]])
def test_the_command_does_nothing_that_it_was_not_told_clearly(arguments: list[str]) -> None:
    make_letter()
    with pytest.raises(CommandError):
        call_command("dead_letters", *arguments)
    assert DeadLetter.objects.exists()


def test_the_command_drops_those_that_are_old(capsys: pytest.CaptureFixture[str]) -> None:
    make_letter()
    DeadLetter.objects.update(failed_at=timezone.now() - timedelta(days=30))
    young = make_letter()
    assert run(capsys, "purge", "--older-than", 29) == "Dropped 1 dead letter.\n"
    assert DeadLetter.objects.get() == young


def staff_client(*permissions: str) -> Client:
    staff = make_user(is_staff=True)
    staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(staff)
    return client


def test_the_admin_shows_personal_data_only_to_who_may_requeue(admin_client: Client) -> None:
    letter = make_letter()
    url = reverse("admin:core_deadletter_change", args=[letter.pk])
    looking = staff_client("view_deadletter")
    for page in (LIST, url):
        text = looking.get(page).content.decode()
        assert "ann@example.com" not in text
        assert "mail_email_change" in text
    assert "smtplib.SMTPRecipientsRefused<" in looking.get(LIST).content.decode()
    text = admin_client.get(url).content.decode()
    assert "ann@example.com" in text
    assert "3f2a" not in text
    assert staff_client().get(LIST).status_code == 403


def test_the_admin_requeues_and_drops_but_changes_nothing(admin_client: Client) -> None:
    letters = [make_letter() for _ in range(3)]
    chosen = {"_selected_action": [str(letter.pk) for letter in letters[:2]]}
    looking = staff_client("view_deadletter")
    for action in ("requeue", "delete_selected"):
        looking.post(LIST, {"action": action, "post": "yes", **chosen})
    assert DeadLetter.objects.count() == 3
    for method in (looking, admin_client):
        assert method.post(reverse("admin:core_deadletter_change", args=[letters[0].pk]), {}).status_code == 403
        assert method.get(reverse("admin:core_deadletter_add")).status_code == 403

    admin_client.post(LIST, {"action": "requeue", **chosen})
    assert [message.message_id for message in sent()] == [str(letter.message_id) for letter in letters[:2]]
    admin_client.post(LIST, {"action": "delete_selected", "post": "yes", "_selected_action": [str(letters[2].pk)]})
    assert not DeadLetter.objects.exists()


def test_the_list_costs_the_same_for_2_and_for_20_rows(admin_client: Client) -> None:
    for _ in range(2):
        make_letter()
    few = len(statements_of(admin_client, LIST))
    for _ in range(18):
        make_letter()
    assert len(statements_of(admin_client, LIST)) == few


def test_what_cannot_be_sent_stays_and_keeps_nothing_else_from_being_requeued() -> None:
    sound = make_letter()
    dead_letters.bury(b"\xff", ValueError("This is no message."))
    dead_letters.store(Message("default", "large", ("x" * outbox.MESSAGE_MAX,), {}, {}), ERROR)
    assert dead_letters.requeue(DeadLetter.objects.all()) == 1
    assert [message.message_id for message in sent()] == [str(sound.message_id)]
    assert dead_letters.arguments(DeadLetter.objects.get(actor="")) == "1 bytes that are no message"
