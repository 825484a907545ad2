"""The explorer in a real Chromium which can reach no host but the server."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    Locator,
    Page,
    Request,
    Response,
    Route,
    async_playwright,
    expect,
)

from apps.core.ids import global_id
from config import explorer_build
from schema import explorer
from tests.live import work_off_live_tasks

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
QUERY = ".graphiql-query-editor"
VARIABLES = "section[aria-label='Variables'] .graphiql-editor:not(.hidden)"
HEADERS = "section[aria-label='Headers'] .graphiql-editor:not(.hidden)"
# Typing would have the editor close brackets and quotes on its own.
PASTE = """text => {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text/plain", text);
  const paste = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
  document.activeElement.dispatchEvent(paste);
}"""
TAKES_FOCUS = "control => { control.focus(); return control === document.activeElement; }"
# sessionStorage begins empty in each tab, localStorage does not.
CLEAR_ON_FIRST_LOAD = """
if (!sessionStorage.getItem("loaded")) {
  localStorage.clear();
  sessionStorage.setItem("loaded", "yes");
}
"""

PATIENCE = 60_000

expect.set_options(timeout=PATIENCE)
in_browser = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Visit:
    """The explorer in a browser tab of its own, as on a first visit, and what went wrong meanwhile."""

    page: Page
    origin: str
    console: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    @property
    def badge(self) -> Locator:
        return self.page.locator(".session")

    @property
    def button(self) -> Locator:
        return self.page.locator(".graphiql-execute-button")

    @property
    def result(self) -> Locator:
        return self.page.locator(".result-window .view-lines")

    @property
    def query(self) -> Locator:
        return self.page.locator(f"{QUERY} .view-lines")

    @property
    def docs(self) -> Locator:
        return self.page.get_by_role("region", name="Documentation Explorer")

    def keep_foreign(self, request: Request) -> None:
        if not request.url.startswith((self.origin, "data:")):
            self.foreign.append(request.url)

    async def load(self, url: str) -> None:
        """Opens `url` and waits for the first tab and the schema."""
        await self.page.goto(url)
        await expect(self.query).to_contain_text("mutation")
        await expect(self.page.locator(".graphiql-sidebar")).to_be_visible()

    async def choose(self, tab: str, shows: str) -> None:
        await self.page.get_by_role("tab", name=tab, exact=True).click()
        await expect(self.query).to_contain_text(shows)

    async def run(self) -> Any:
        """Presses the button and gives the decoded answer."""
        async with self.page.expect_response(_is_operation) as answer:
            await self.button.click()
        return await (await answer.value).json()

    async def paste_into(self, editor: str, text: str) -> None:
        lines = self.page.locator(editor).locator(".view-lines")
        await lines.click()
        await self.page.keyboard.press("Control+a")
        await self.page.evaluate(PASTE, text)
        await expect(lines).to_contain_text(text[-20:])

    async def set_headers(self, headers: dict[str, str]) -> None:
        await self.page.get_by_role("button", name="Headers", exact=True).click()
        await self.paste_into(HEADERS, json.dumps(headers))


def _is_operation(response: Response) -> bool:
    return response.request.method == "POST" and "IntrospectionQuery" not in (response.request.post_data or "")


@pytest.fixture(scope="module")
def chromium() -> str:
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        pytest.skip("The explorer is tested in a real browser and there is none: apt-get install chromium")
    return path


@pytest.fixture(scope="module")
def explorer_url(chromium: str, live_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    if explorer_build.stale(explorer_build.EXPLORER_DIR):
        with (tmp_path_factory.mktemp("explorer") / "build.log").open("wb") as log:
            explorer_build.build(explorer_build.EXPLORER_DIR, log)
    return f"{live_server_url.rstrip('/')}/graphql/"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str, explorer_url: str) -> AsyncIterator[Browser]:
    only_server = f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {urlsplit(explorer_url).hostname}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*CHROMIUM_ARGS, only_server])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    # One for all tests, so that only the first of them loads and compiles the bundle.
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    await context.add_init_script(CLEAR_ON_FIRST_LOAD)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visit(context: BrowserContext, explorer_url: str) -> AsyncIterator[Visit]:
    visit = Visit(await context.new_page(), origin="{0.scheme}://{0.netloc}/".format(urlsplit(explorer_url)))
    visit.page.on("request", visit.keep_foreign)
    visit.page.on("console", lambda message: visit.console.append(f"{message.type}: {message.text}"))
    visit.page.on("pageerror", lambda error: visit.console.append(f"uncaught: {error}"))
    await visit.load(explorer_url)
    yield visit
    await visit.page.close()


@in_browser
async def test_nested_feed_runs_with_a_clean_console_and_no_request_to_another_host(visit: Visit) -> None:
    await visit.choose("NestedFeed", shows="query NestedFeed")
    answer = await visit.run()

    assert "errors" not in answer
    posts = answer["data"]["posts"]["nodes"]
    assert len(posts) == 10
    assert all(post["author"]["fullName"] for post in posts)
    assert any(post["comments"]["nodes"] for post in posts)
    await expect(visit.result).to_contain_text(posts[0]["title"])
    assert await visit.page.title() == "Broadside explorer"
    assert visit.foreign == []
    assert visit.console == []


@in_browser
async def test_editor_underlines_a_field_that_the_schema_lacks(visit: Visit) -> None:
    await visit.paste_into(QUERY, "query Wrong { viewer { id noSuchField } }")
    await expect(visit.page.locator(f"{QUERY} .squiggly-error")).to_be_visible()


@in_browser
async def test_nothing_can_be_used_before_the_editors_are_mounted(visit: Visit, explorer_url: str) -> None:
    released = asyncio.Event()

    async def hold_back(route: Route) -> None:
        await released.wait()
        await route.continue_()

    await visit.page.route("**/assets/monaco-editor-*.js", hold_back)
    await visit.page.goto(explorer_url, wait_until="commit")
    await expect(visit.page.locator(f"{QUERY} .graphiql-spinner")).to_be_visible()
    for control in (visit.button, visit.page.locator("[role=tab] button").first):
        assert not await control.evaluate(TAKES_FOCUS)

    released.set()
    assert (await visit.run())["data"]["login"]["errors"] == []


@pytest.mark.parametrize("chunk", ["monaco-editor-*.js", "monaco-editor-*.css", "lite-*.js"])
@in_browser
async def test_a_missing_chunk_of_the_editors_is_told_and_a_reload_mends_it(
    visit: Visit, explorer_url: str, chunk: str
) -> None:
    async def missing(route: Route) -> None:
        await route.fulfill(status=404)

    await visit.page.route(f"**/assets/{chunk}", missing)
    await visit.page.goto(explorer_url)
    # An inert element has no role: this one is outside the inert container.
    alert = visit.page.get_by_role("alert").filter(has_text="The editors could not be loaded.")
    await expect(alert).to_be_visible()

    await visit.page.unroute(f"**/assets/{chunk}")
    await alert.get_by_role("button", name="Reload the page").click()
    assert (await visit.run())["data"]["login"]["errors"] == []
    await expect(alert).to_have_count(0)


@in_browser
async def test_first_visit_opens_with_the_example_operations(visit: Visit) -> None:
    tabs = visit.page.locator("[role=tab] button:not([aria-label])")
    await expect(tabs).to_have_text(["SignIn", "NestedFeed", "WritePost", "AddComment", "LiveComments"])
    await expect(visit.page.locator(VARIABLES)).to_contain_text("author@example.com")


@in_browser
async def test_docs_pane_shows_the_description_of_a_type(visit: Visit, explorer_url: str) -> None:
    question = {"query": '{ __type(name: "Post") { description } }'}
    answer = (await visit.page.request.post(explorer_url, data=question)).json
    description = (await answer())["data"]["__type"]["description"]
    assert description

    await visit.page.get_by_role("button", name="Show Documentation Explorer").click()
    await visit.docs.get_by_role("link", name="Post", exact=True).click()
    await expect(visit.docs).to_contain_text(" ".join(description.split()).replace("`", ""))


@in_browser
async def test_after_sign_in_the_examples_that_write_run_as_they_stand(visit: Visit) -> None:
    await expect(visit.badge).to_have_text("Not signed in")
    await visit.run()
    await expect(visit.badge).to_have_text("Signed in as author@example.com · Sign out")

    await visit.choose("WritePost", shows="mutation WritePost")
    written = (await visit.run())["data"]["createPost"]
    assert written["errors"] == []
    assert written["post"]["status"] == "PUBLISHED"

    await visit.choose("AddComment", shows="mutation AddComment")
    added = (await visit.run())["data"]["addComment"]
    assert added["errors"] == []
    assert added["comment"]["body"] == "Commented from the explorer."


@in_browser
async def test_a_comment_arrives_in_the_running_subscription_until_it_is_stopped(
    visit: Visit, explorer_url: str
) -> None:
    await visit.choose("LiveComments", shows="subscription LiveComments")
    async with visit.page.expect_response(_is_operation):
        await visit.button.click()
    for body in ("Seen while it was written.", "And another."):
        await asyncio.to_thread(add_comment, explorer_url, body)
        await expect(visit.result).to_contain_text(body)

    async with visit.page.expect_event("requestfailed"):
        await visit.button.click()
    # The same button runs it again: it had stopped.
    async with visit.page.expect_response(_is_operation):
        await visit.button.click()
    await asyncio.to_thread(add_comment, explorer_url, "Seen once more.")
    await expect(visit.result).to_contain_text("Seen once more.")
    assert visit.console == []


def add_comment(explorer_url: str, body: str) -> None:
    """By another client, to the post that stands in the tab; the worker has then told of it."""

    def ask(query: str, token: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = httpx.post(explorer_url, json={"query": query}, headers=headers)
        return answer.json()["data"].popitem()[1]

    signed_in = ask(
        'mutation { login(input: {email: "author@example.com", password: "broadside-demo"}) { accessToken } }'
    )
    fields = f'postId: "{global_id("Post", 1)}", body: "{body}"'
    added = ask(f"mutation {{ addComment(input: {{{fields}}}) {{ errors {{ code }} }} }}", signed_in["accessToken"])
    assert added["errors"] == []
    work_off_live_tasks()


@in_browser
async def test_a_header_of_ones_own_goes_before_the_kept_token_and_cannot_end_its_session(
    visit: Visit,
) -> None:
    await visit.run()
    await expect(visit.badge).to_contain_text("Signed in as")

    await visit.choose("NestedFeed", shows="query NestedFeed")
    await visit.set_headers({"Authorization": "Bearer of-my-own"})
    async with visit.page.expect_request(lambda request: request.method == "POST") as sent:
        await visit.button.click()

    assert await (await sent.value).header_value("authorization") == "Bearer of-my-own"
    await expect(visit.result).to_contain_text("UNAUTHENTICATED")
    await expect(visit.badge).to_contain_text("Signed in as")


@in_browser
async def test_aliased_login_and_logout_are_noticed(visit: Visit) -> None:
    login = (
        'mutation In { a: login(input: {email: "author@example.com", password: "broadside-demo"}) '
        "{ ...Tokens } } fragment Tokens on LoginPayload { t: accessToken r: refreshToken }"
    )
    await visit.paste_into(QUERY, login)
    tokens = (await visit.run())["data"]["a"]
    await expect(visit.badge).to_contain_text("Signed in as author@example.com")

    logout = f'mutation Out {{ b: logout(input: {{refreshToken: "{tokens["r"]}"}}) {{ ok: success }} }}'
    await visit.paste_into(QUERY, logout)
    assert (await visit.run())["data"]["b"]["ok"] is True
    await expect(visit.badge).to_have_text("Not signed in")


@in_browser
async def test_sign_out_forgets_the_token(visit: Visit) -> None:
    await visit.run()
    await visit.page.get_by_role("button", name="Sign out").click()
    await expect(visit.badge).to_have_text("Not signed in")

    async with visit.page.expect_request(lambda request: request.method == "POST") as sent:
        await visit.button.click()
    assert await (await sent.value).header_value("authorization") is None


@in_browser
async def test_a_refused_token_is_dropped_and_the_docs_load_all_the_same(visit: Visit, explorer_url: str) -> None:
    kept = json.dumps({"token": "no-longer-taken", "email": "author@example.com"})
    await visit.page.evaluate("kept => sessionStorage.setItem('broadside:session', kept)", kept)
    await visit.load(explorer_url)

    await expect(visit.badge).to_have_text("Session ended: run Sign in again")
    assert await visit.page.evaluate("sessionStorage.getItem('broadside:session')") is None
    await visit.page.get_by_role("button", name="Show Documentation Explorer").click()
    await expect(visit.docs).to_contain_text("Mutation")


@in_browser
async def test_headers_are_kept_between_visits(visit: Visit, explorer_url: str) -> None:
    await visit.set_headers({"X-Kept": "between-visits"})
    await expect_stored(visit.page, "between-visits")

    await visit.load(explorer_url)
    await visit.page.get_by_role("button", name="Headers", exact=True).click()
    await expect(visit.page.locator(HEADERS)).to_contain_text("between-visits")
    async with visit.page.expect_request(lambda request: request.method == "POST") as sent:
        await visit.button.click()
    assert await (await sent.value).header_value("x-kept") == "between-visits"


async def expect_stored(page: Page, text: str) -> None:
    """Waits until GraphiQL, which writes half a second late, has stored `text` with its tabs."""
    await page.wait_for_function(
        "text => (localStorage.getItem('broadside:graphiql:tabState') ?? '').includes(text)", arg=text
    )


def test_page_and_its_files_come_typed_cached_and_compressed(explorer_url: str) -> None:
    page = httpx.get(explorer_url, headers={"accept": "text/html"})
    assert page.headers["cache-control"] == "no-store"
    assert "script-src 'self'" in page.headers["content-security-policy"]

    paths = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {Path(path).suffix for path in paths} == {".js", ".css", ".svg"}
    for path in paths:
        file = httpx.get(urljoin(explorer_url, path), headers={"accept-encoding": "gzip"})
        assert (file.status_code, file.headers["cache-control"]) == (200, explorer.ASSET_HEADERS["Cache-Control"]), path
        assert file.headers["x-content-type-options"] == "nosniff", path
        assert file.headers["content-type"] == explorer.MEDIA_TYPES[Path(path).suffix], path
        assert file.headers["content-encoding"] == "gzip", path
