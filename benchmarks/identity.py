"""Measures signing in on one server process: `python -m benchmarks.identity`.

- how many sign-ins a second it holds, and what the 99th percentile of `point` queries is beside them and without them;
- how long the answers take for addresses that have an account and for those that have none;
- what comes of 20 parallel uses of one refresh token, 100 times.

It runs uvicorn as in production, with argon2 as it is, on a database of its own in DATABASE_URL's server, or in an
embedded one. Limits are off: they are about how many there may be, this about how fast they are.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from statistics import median, quantiles
from typing import Any

import httpx
import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.serving import manage, served, settings
from config import embedded_postgres

DATABASE = "broadside_identity_bench"
PASSWORD = "correct horse battery staple"  # noqa: S105
SOMEBODY = "somebody@bench.example.com"
POINT = "query($slug: String!) { post(slug: $slug) { id title slug publishedAt author { id firstName lastName } } }"
LOGIN = "mutation($i: LoginInput!) { login(input: $i) { refreshToken errors { code } } }"
RENEW = "mutation($i: RefreshTokenInput!) { refreshToken(input: $i) { refreshToken errors { code } } }"
REGISTER = "mutation($i: RegisterInput!) { register(input: $i) { user { id } errors { code } } }"
RESET = "mutation($i: RequestPasswordResetInput!) { requestPasswordReset(input: $i) { success errors { code } } }"
SECONDS, WARM_UP = 10.0, 2.0
# A load that leaves the server most of its time: how many it could hold is measured by over_http.py.
READS_A_SECOND = 100
TIMES = 200


async def main() -> None:
    async with server(EMAIL_VERIFICATION="optional") as api:
        await load(api)
        await races(api)
        await timing(
            api,
            "login, wrong password",
            lambda email: api(LOGIN, i={"email": email, "password": "wrong"}, expects="INVALID_CREDENTIALS"),
        )
        await timing(api, "requestPasswordReset", lambda email: api(RESET, i={"email": email}))
    async with server(EMAIL_VERIFICATION="required") as api:
        await timing(api, "register, where addresses are confirmed", lambda email: register(api, email))


@asynccontextmanager
async def server(**changes: str) -> AsyncIterator[Api]:
    # uvicorn closes what has been idle for five seconds.
    limits = httpx.Limits(max_connections=100, keepalive_expiry=2)
    with database() as url:
        environment = settings(url, **changes)
        manage(environment, "migrate", "--verbosity=0")
        manage(environment, "seed", "--yes")
        with served(environment) as origin:
            async with httpx.AsyncClient(base_url=origin, timeout=60, limits=limits) as client:
                yield Api(client)


class Api:
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def __call__(self, query: str, *, expects: str = "", **variables: Any) -> Any:
        """The data. Raises for errors, but for payloads' of the code that the caller expects."""
        response = await self._client.post("/graphql/", json={"query": query, "variables": variables})
        body = response.json()
        payloads = body["data"].values() if "errors" not in body else [body]
        errors = [error for payload in payloads for error in payload.get("errors", ())]
        if any(error.get("code") != expects for error in errors):
            raise RuntimeError(errors)
        return body["data"]


async def load(api: Api) -> None:
    """The percentiles of point queries that come at a steady pace, beside people who sign in one after the other."""
    await register(api, SOMEBODY)
    slug = (await api("{ posts(first: 1) { nodes { slug } } }"))["posts"]["nodes"][0]["slug"]
    print(f"\n{READS_A_SECOND} point queries a second, and")
    print("sign-ins at a time | sign-ins/s | point p50, ms | p99, ms | p99 / idle")
    idle = 0.0
    for signing_in in (0, 1, 2, 4, 8, 16, 32, 0):
        stop = time.perf_counter() + WARM_UP + SECONDS
        others = asyncio.create_task(repeated(signing_in, stop, lambda: login(api)))
        # All of them begin at once, which nobody does.
        await asyncio.sleep(WARM_UP)
        reads, logins = await asyncio.gather(paced(READS_A_SECOND, stop, lambda: api(POINT, slug=slug)), others)
        p99 = quantiles(reads, n=100)[98]
        idle = idle or p99
        print(
            f"{signing_in:>18} | {len(logins) / (WARM_UP + SECONDS):>10.1f} | {median(reads) * 1000:>13.1f} | "
            f"{p99 * 1000:>7.1f} | {p99 / idle:>10.1f}"
        )


async def timed(work: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def paced(rate: int, stop: float, work: Callable[[], Awaitable[Any]]) -> list[float]:
    """How long each call of `work` took, of `rate` a second: they begin whether or not those before have ended."""
    calls = []
    while time.perf_counter() < stop:
        calls.append(asyncio.create_task(timed(work)))
        await asyncio.sleep(1 / rate)
    return await asyncio.gather(*calls)


async def repeated(number: int, stop: float, work: Callable[[], Awaitable[Any]]) -> list[float]:
    """The same of `number` that call it again and again."""

    async def again() -> list[float]:
        taken = []
        while time.perf_counter() < stop:
            taken.append(await timed(work))
        return taken

    return [each for several in await asyncio.gather(*(again() for _ in range(number))) for each in several]


async def timing(api: Api, name: str, attempt: Callable[[str], Awaitable[Any]]) -> None:
    """Answers for addresses that have an account and for some that have none, in turn, on an idle server."""
    known, unknown = (
        [f"{kind}{number}@{name[:5]}.example.com" for number in range(TIMES)] for kind in ("known", "not")
    )
    for email in known:
        await register(api, email)
    taken: dict[bool, list[float]] = {True: [], False: []}
    for pair in zip(known, unknown, strict=True):
        for email in pair:
            taken[email in known].append(1_000 * await timed(partial(attempt, email)))
    print(f"\n{name}, ms, {TIMES} times each:")
    for is_known, times in taken.items():
        low, middle, high = quantiles(times, n=4)
        print(f"  {'known' if is_known else 'unknown':>7}: median {middle:.2f}, quartiles {low:.2f} to {high:.2f}")


async def races(api: Api) -> None:
    """What comes of 20 parallel uses of one refresh token, and whether there is one live branch afterwards."""
    outcomes: Counter[tuple[str, ...]] = Counter()
    for _ in range(100):
        first = (await login(api))["login"]["refreshToken"]
        uses = [api(RENEW, i={"refreshToken": first}, expects="INVALID_TOKEN") for _ in range(20)]
        payloads = [answer["refreshToken"] for answer in await asyncio.gather(*uses)]
        minted = [payload["refreshToken"] for payload in payloads if payload["refreshToken"]]
        refused = Counter(error["code"] for payload in payloads for error in payload["errors"])
        usable = [await api(RENEW, i={"refreshToken": token}, expects="INVALID_TOKEN") for token in minted]
        alive = sum(not answer["refreshToken"]["errors"] for answer in usable)
        outcomes[f"{len(minted)} minted", f"refused {dict(refused)}", f"{alive} alive afterwards"] += 1
    print("\n20 parallel uses of one refresh token, 100 times:")
    for outcome, times in outcomes.items():
        print(f"  {times} times: {', '.join(outcome)}")


async def login(api: Api, email: str = SOMEBODY, password: str = PASSWORD, expects: str = "") -> Any:
    return await api(LOGIN, i={"email": email, "password": password}, expects=expects)


async def register(api: Api, email: str) -> None:
    await api(REGISTER, i={"email": email, "password": PASSWORD, "firstName": "Ann"})


@contextmanager
def database() -> Iterator[str]:
    """The URL of an empty one, in DATABASE_URL's server or in an embedded one."""
    given = os.environ.get("DATABASE_URL")
    with nullcontext(given) if given else embedded_postgres.temporary() as url:
        server = make_conninfo(url, dbname="postgres")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {DATABASE}")
            info = connection.info
            yield f"postgresql://{info.user}@/{DATABASE}?host={info.host}&port={info.port}"


if __name__ == "__main__":
    asyncio.run(main())
