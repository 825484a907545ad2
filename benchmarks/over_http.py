"""Measures one server process of ours beside the peers, over HTTP: `python -m benchmarks.over_http [run.py's options]`.

It makes the database `broadside_bench` in the peers' cluster, dropping the last one, fills it with their rows, starts
uvicorn as in production and hands over to the peers' `run.py`. BENCH_PEERS is their folder, which has to be set up
and is not part of this repository; the load comes from wrk.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg

from benchmarks import peers_rows
from benchmarks.serving import ROOT, manage, served, settings

PEERS = Path(os.environ.get("BENCH_PEERS", ROOT.parent / "shared" / "bench"))
HERE = Path(__file__).parent
DATABASE = "broadside_bench"
SIGN_IN = """
from datetime import timedelta
from django.utils import timezone
from apps.users.models import Session
from apps.users.tokens import issue_access
now = timezone.now()
session = Session.objects.create(user_id=1, expires_at=now + timedelta(days=1))
print(issue_access(1, session.pk, now)[0])
"""


def main(options: list[str]) -> int:
    needed = {"the peers' folder": (PEERS / "run.py").exists(), "wrk": shutil.which("wrk")}
    missing = [what for what, there in needed.items() if not there]
    if missing:
        print(
            f"The comparison with other servers was left out: {' and '.join(missing)} not found. It needs a folder of"
        )
        print("theirs, with a run.py, which is not part of this repository; BENCH_PEERS says where it is.")
        return 0
    peers_url = _peers_database()
    url = f"{peers_url.rpartition('/')[0]}/{DATABASE}"
    environment = settings(url, JWT_ACCESS_MINUTES="600", GRAPHQL_MAX_PAGE_SIZE="200")
    with psycopg.connect(peers_url, autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {DATABASE}")
    manage(environment, "migrate", "--verbosity=0")
    peers_rows.copy(peers_url, url)
    with served(environment) as origin, tempfile.TemporaryDirectory() as folder:
        signed_in = Path(folder) / "signed_in.toml"
        text = (HERE / "queries_signed_in.toml").read_text()
        signed_in.write_text(text.replace("{token}", _token(environment)))
        extra = [
            f"--extra=broadside={origin}/graphql/,{HERE / 'queries.toml'}",
            f"--extra=broadside_signed_in={origin}/graphql/,{signed_in}",
        ]
        return subprocess.run([sys.executable, "run.py", *extra, *options], cwd=PEERS, check=False).returncode


def _peers_database() -> str:
    shell = subprocess.run(
        ["sh", "-c", '. ./env.sh; printf %s "$DATABASE_URL"'], cwd=PEERS, capture_output=True, text=True, check=True
    )
    return shell.stdout


def _token(environment: dict[str, str]) -> str:
    shell = [sys.executable, "manage.py", "shell", "--verbosity=0", "--command", SIGN_IN]
    return subprocess.run(shell, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
