"""How the explorer's page and its files are served, without a browser."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from schema import explorer

IMMUTABLE = "public, max-age=31536000, immutable"


@dataclass
class Served:
    status_code: int
    headers: httpx.Headers
    body: bytes


def make_build(dist: Path) -> Path:
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<title>built</title>")
    (dist / "secret.js").write_text("outside the assets")
    (dist / "assets" / "index-1a2b.js").write_text("plain")
    (dist / "assets" / "index-1a2b.js.br").write_text("brotli")
    (dist / "assets" / "index-1a2b.js.gz").write_text("gzip")
    (dist / "assets" / "codicon-3c4d.ttf").write_bytes(b"font")
    return dist


async def fetch(dist: Path, path: str, encodings: str = "identity", method: str = "GET") -> Served:
    transport = httpx.ASGITransport(app=explorer.assets(dist))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        request = client.build_request(method, path, headers={"accept-encoding": encodings})
        response = await client.send(request, stream=True)
        body = b"".join([chunk async for chunk in response.aiter_raw()])
        return Served(response.status_code, response.headers, body)


def test_page_while_the_build_is_missing_says_so_and_reloads_itself(tmp_path: Path, settings: Any) -> None:
    settings.DEBUG = True
    response = explorer.page(tmp_path)

    assert response.status_code == 503
    assert response.headers["retry-after"] == "2"
    assert response.headers["cache-control"] == "no-store"
    assert b'http-equiv="refresh"' in response.body
    assert b"being built" in response.body


def test_page_of_a_deployment_without_a_build_says_how_to_make_it(tmp_path: Path, settings: Any) -> None:
    settings.DEBUG = False
    response = explorer.page(tmp_path)

    assert response.status_code == 503
    assert response.headers["cache-control"] == "no-store"
    assert b"npm ci --ignore-scripts &amp;&amp; npm run build" in response.body
    assert b"refresh" not in response.body
    assert "retry-after" not in response.headers
    assert b"<script" not in response.body


def test_page_appears_with_the_build_under_a_policy_that_names_no_other_origin(tmp_path: Path) -> None:
    response = explorer.page(make_build(tmp_path / "dist"))

    assert (response.status_code, response.body) == (200, b"<title>built</title>")
    policy = response.headers["content-security-policy"]
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(policy.split("; "))
    assert "http" not in policy
    assert "blob:" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    ("accepted", "encoding", "body"),
    [
        ("gzip, deflate, br, zstd", "br", b"brotli"),
        ("gzip", "gzip", b"gzip"),
        ("br;q=0, gzip;q=0.5", "gzip", b"gzip"),
        ("identity", None, b"plain"),
    ],
)
@pytest.mark.asyncio
async def test_asset_comes_in_the_smallest_encoding_the_client_takes(
    tmp_path: Path, accepted: str, encoding: str | None, body: bytes
) -> None:
    response = await fetch(make_build(tmp_path / "dist"), "/graphql/explorer/assets/index-1a2b.js", accepted)

    assert response.status_code == 200
    assert response.headers.get("content-encoding") == encoding
    assert response.body == body
    assert response.headers["content-type"] == "text/javascript; charset=utf-8"
    assert response.headers["cache-control"] == IMMUTABLE
    assert response.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/missing.js",
        "/secret.js",
        "/assets/../secret.js",
        "/assets/..%2Fsecret.js",
        "/assets/%2e%2e",
        "/assets/index-1a2b.js.br",
        "/index.html",
        "/assets/index-1a2b.js%00",
        "/assets/index-1a2b.js%0A",
        # Longer than a file system's names may be, in characters and in bytes alone.
        f"/assets/{'a' * 5000}.js",
        f"/assets/{'%C3%A9' * 150}.js",
    ],
)
@pytest.mark.asyncio
async def test_nothing_but_the_builds_own_files_is_served(tmp_path: Path, path: str) -> None:
    response = await fetch(make_build(tmp_path / "dist"), f"/graphql/explorer{path}")

    assert response.status_code == 404
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.asyncio
async def test_root_of_the_assets_is_the_page_and_only_reading_is_allowed(tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    assert (await fetch(dist, "/graphql/explorer/")).status_code == 503

    make_build(dist)
    assert (await fetch(dist, "/graphql/explorer/")).status_code == 200
    assert (await fetch(dist, "/graphql/explorer/assets/index-1a2b.js", method="HEAD")).status_code == 200
    refused = await fetch(dist, "/graphql/explorer/assets/index-1a2b.js", method="POST")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
