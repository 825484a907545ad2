"""A thousand writes with a task each, and what became of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import httpx

from tests.faults.mailbox import mailed
from tests.faults.scenarios import Scenario
from tests.faults.system import System, until_ready
from tests.waiting import wait_until

ASK = "mutation ($email: String!) { requestEmailVerification(input: { email: $email }) { success errors { code } } }"
AT_A_TIME = 8
# One address a write; those whose write has failed are not used again. And posts that are due while there are writes.
PREPARE = """
from datetime import timedelta
from django.utils import timezone
from apps.posts.models import Post, PostStatus
from apps.users.models import User
User.objects.bulk_create(
    [User(email=f"user{{n}}@example.com", first_name="User", password="!") for n in range({users})], batch_size=500
)
post = dict(author=User.objects.first(), title="Post", status=PostStatus.SCHEDULED)
for n in range({posts}):
    Post.objects.create(**post, slug=f"post-{{n}}", published_at=timezone.now() + timedelta(seconds=n))
"""
POSTS = 20
# The outbox forgets what it has handed over; what is tried again comes by it again.
REMEMBER = """
CREATE TABLE drill_written (message_id uuid PRIMARY KEY, actor text, args text);
CREATE FUNCTION drill_remember() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE sent json := convert_from(NEW.message, 'UTF8')::json;
    BEGIN
        INSERT INTO drill_written VALUES ((sent->>'message_id')::uuid, sent->>'actor_name', sent->>'args')
        ON CONFLICT DO NOTHING;
        RETURN NEW;
    END $$;
CREATE TRIGGER drill_remember AFTER INSERT ON core_outboxmessage FOR EACH ROW EXECUTE FUNCTION drill_remember();
"""


@dataclass(frozen=True)
class Outcome:
    """What became of the writes. Each has one effect in the database (a token), and one outside of it (its mail)."""

    acknowledged: int
    done: int
    # Acknowledged, and not done.
    lost: int
    # Done again: in the database, and by mail, where a process was killed between sending and noting it.
    doubled: int
    mailed_twice: int
    kills: int
    # Posts that were published on their date, and told of once.
    published: int
    dead_letters: int


def drill(running: System, writes: int, scenario: Scenario) -> Outcome:
    """Write until `writes` are acknowledged, while the scenario takes place.

    Returns when there is nothing left to do. Writes that fail are not repeated: whoever sent them knows that.
    """
    running.run("shell", "--verbosity=0", "--command", PREPARE.format(users=2 * writes, posts=POSTS))
    running.sql(REMEMBER)
    running.start("web")
    for name in ("relay", "worker", "scheduler"):
        for step in scenario.deaths.get(name, ["", ""]):
            running.start(name, kill_at=step)
    until_ready(running)
    acknowledged: set[str] = set()
    with _beside(lambda: scenario.faults(running, lambda: len(acknowledged) / writes)):
        asyncio.run(_write(running.origin, writes, acknowledged))
    wait_until(lambda: _is_done(running), 180, running.log)
    return _outcome(running, acknowledged)


async def _write(origin: str, writes: int, acknowledged: set[str]) -> None:
    numbers = count()

    async def write_on() -> None:
        async with httpx.AsyncClient(base_url=origin, timeout=30) as client:
            while len(acknowledged) < writes:
                email = f"user{next(numbers)}@example.com"
                try:
                    answer = await client.post("/graphql/", json={"query": ASK, "variables": {"email": email}})
                except httpx.TransportError:
                    continue
                # PostgreSQL may be away: then there is no data.
                if b'"success":true' in answer.content:
                    acknowledged.add(email)

    async with asyncio.TaskGroup() as clients:
        for _ in range(AT_A_TIME):
            clients.create_task(write_on())


@contextmanager
def _beside(work: Callable[[], None]) -> Iterator[None]:
    """Do `work` in a thread meanwhile; its failure is raised here."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  (raised below)
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    yield
    thread.join()
    if failures:
        raise failures[0]


def _is_done(running: System) -> bool:
    """Whether nothing waits in the outbox, and all that was ever in it is noted as done; poison never is."""
    [(waiting, asked, done)] = running.sql(
        "SELECT (SELECT count(*) FROM core_outboxmessage), "
        "(SELECT count(*) FROM drill_written WHERE actor <> 'beat' AND args <> '[]'), "
        "(SELECT count(*) FROM core_inboxmessage)"
    )
    return bool(waiting == 0 and done >= asked and _published(running) >= POSTS)


def _published(running: System) -> int:
    [(number,)] = running.sql(
        "SELECT count(*) FROM posts_post WHERE status = 'published' AND 1 = "
        "(SELECT count(*) FROM drill_written WHERE actor = 'post_published' AND args = '[' || posts_post.id || ']')"
    )
    return int(number)


def _outcome(running: System, acknowledged: set[str]) -> Outcome:
    tokens = dict(running.sql("SELECT email, count(*) FROM users_emailtoken GROUP BY email"))
    mails = mailed(running.mails)
    done = tokens.keys() & mails.keys()
    return Outcome(
        acknowledged=len(acknowledged),
        done=len(done),
        lost=len(acknowledged - done),
        doubled=sum(number > 1 for number in tokens.values()),
        mailed_twice=sum(number > 1 for number in mails.values()),
        kills=running.kills,
        published=_published(running),
        dead_letters=running.sql("SELECT count(*) FROM core_deadletter")[0][0],
    )
