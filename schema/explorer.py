"""Serves the built explorer (`explorer/dist`) from our own origin, under a strict content security policy.

The build may appear while the server runs: nothing is read before it is asked for.
"""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings
from starlette.datastructures import Headers
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

PAGE_HEADERS = {
    # Monaco writes <style> elements and style attributes at run time; everything else is a file of ours.
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self' 'unsafe-inline'",
            "font-src 'self' data:",
            "img-src 'self' data:",
            "connect-src 'self'",
            "worker-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
ASSET_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "public, max-age=31536000, immutable",
    "Vary": "Accept-Encoding",
}
# Spelled out, because what `mimetypes` answers depends on the machine and nosniff makes a wrong type fatal.
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
}
SUFFIXES = {"br": ".br", "gzip": ".gz"}
# A file system may refuse a name of more than 255 bytes: ASCII, and room for `.br` and `.gz`.
ASSET_PATH = re.compile(r"/assets/([\w-][\w.-]{0,199})\Z", re.ASCII)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{head}<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>Broadside explorer: {title}</title>
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 20vh auto }}</style>
</head>
<body>
<h1>The explorer is {title}</h1>
{text}
</body>
</html>
"""
BUILDING = PAGE.format(
    head='<meta http-equiv="refresh" content="2">\n',
    title="being built",
    text="""<p>This takes about half a minute, once. The page opens by itself when it is ready.
The API answers already: POST operations to <code>/graphql/</code>.</p>
<p>Still here after two minutes? <code>var/explorer-build.log</code> says what stopped the build.</p>""",
)
# Where nothing but `make run` would build it.
NOT_BUILT = PAGE.format(
    head="",
    title="not built",
    text="""<p>Build it where Node 20.19 or later is, and put <code>explorer/dist</code> beside this server's code:</p>
<pre>cd explorer &amp;&amp; npm ci --ignore-scripts &amp;&amp; npm run build</pre>
<p>The server need not be started again. The API answers meanwhile: POST operations to <code>/graphql/</code>.</p>""",
)


def page(dist: Path) -> Response:
    """The explorer's page; while `dist` holds no build, a 503.

    In development that one reloads itself until the build is there; elsewhere it says how to make it.
    """
    try:
        html = (dist / "index.html").read_bytes()
    except FileNotFoundError:
        if settings.DEBUG:
            return HTMLResponse(BUILDING, status_code=503, headers={**PAGE_HEADERS, "Retry-After": "2"})
        return HTMLResponse(NOT_BUILT, status_code=503, headers=PAGE_HEADERS)
    return HTMLResponse(html, headers=PAGE_HEADERS)


def assets(dist: Path) -> ASGIApp:
    """An ASGI app for `/graphql/explorer/`: the hashed files of `dist/assets`, and the page at its root.

    Files are cached for a year, since their names change with their content, and sent as the .br or .gz
    which the build put beside them when the client takes it. Everything unknown is a 404.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await _respond(dist, scope)(scope, receive, send)

    return app


def _respond(dist: Path, scope: Scope) -> Response:
    if scope["method"] not in ("GET", "HEAD"):
        return PlainTextResponse("Method Not Allowed", status_code=405, headers={"Allow": "GET, HEAD"})
    path: str = scope["path"]
    if path.endswith("/"):
        return page(dist)

    match = ASSET_PATH.search(path)
    file = dist / "assets" / match[1] if match else None
    media_type = MEDIA_TYPES.get(file.suffix) if file else None
    if file is None or media_type is None or not file.is_file():
        return PlainTextResponse("Not Found", status_code=404, headers={"Cache-Control": "no-store"})

    for encoding in _accepted(Headers(scope=scope).get("accept-encoding", "")):
        compressed = file.with_name(file.name + SUFFIXES[encoding])
        if compressed.is_file():
            headers = {**ASSET_HEADERS, "Content-Encoding": encoding}
            return FileResponse(compressed, media_type=media_type, headers=headers)
    return FileResponse(file, media_type=media_type, headers=ASSET_HEADERS)


def _accepted(header: str) -> list[str]:
    """The encodings that the build writes and an Accept-Encoding header takes, the smallest first."""
    tokens = (token.replace(" ", "").lower() for token in header.split(","))
    taken = {token.partition(";")[0] for token in tokens if not re.search(r";q=0(\.0*)?$", token)}
    return [encoding for encoding in SUFFIXES if encoding in taken]
