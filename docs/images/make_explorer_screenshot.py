"""Takes explorer.png, the picture of the README, from a running Broadside with demo data.

.venv/bin/python docs/images/make_explorer_screenshot.py http://127.0.0.1:8000/graphql/
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

TARGET = Path(__file__).with_name("explorer.png")


def main(url: str) -> None:
    """Signs in as the demo author, runs the nested feed and stores what a visitor then sees."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"),
            args=["--no-sandbox", "--disable-gpu"],
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900}, color_scheme="light")
        page.goto(url)
        run = page.locator(".graphiql-execute-button")
        answer = page.locator(".result-window .view-lines")

        run.click()
        expect(page.locator(".session")).to_contain_text("Signed in as")
        page.get_by_role("tab", name="NestedFeed").click()
        page.get_by_role("button", name="Hide editor tools").click()
        run.click()
        expect(answer).to_contain_text('"commentCount"')
        page.mouse.move(1100, 880)
        expect(page.get_by_role("tooltip")).to_have_count(0)

        page.screenshot(path=TARGET)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
