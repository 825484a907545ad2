"""There is no other way to the worker than the outbox: the linter and the type checker refuse them."""

import subprocess
import sys
from pathlib import Path

import pytest

from apps.core.actors import Actor
from apps.posts.tasks import post_published
from tests.project import ROOT

WAYS = [
    "import dramatiq\n",
    "from dramatiq import actor\n",
    "import dramatiq.broker\n",
    "from dramatiq.brokers.redis import RedisBroker\n",
    "from dramatiq_postgres import PostgresBroker\n",
]


@pytest.mark.parametrize("way", WAYS)
def test_the_linter_refuses_dramatiq_outside_of_core(way: str) -> None:
    assert "TID251" in linted(way, "apps/posts/services.py")
    assert "TID251" in linted(way, "schema/pubsub.py")
    assert "TID251" in linted(way, "config/schedule.py")


def test_the_linter_lets_slices_declare_actors() -> None:
    assert "TID251" not in linted(Path(ROOT / "apps/posts/tasks.py").read_text(), "apps/posts/tasks.py")


def test_an_actor_cannot_be_sent() -> None:
    assert isinstance(post_published, Actor)
    assert not [name for name in dir(post_published) if name.startswith("send") or name == "enqueue"]


def linted(text: str, path: str) -> str:
    """What ruff says to a file with this text at this place."""
    command = [sys.executable, "-m", "ruff", "check", "--output-format=concise", f"--stdin-filename={path}", "-"]
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False).stdout
