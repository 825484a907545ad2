"""A tiny project in place of the explorer: npm and the script are real, vite is not needed."""

import json
from pathlib import Path

import pytest

from config.explorer_build import ExplorerBuildError, build, stale

BUILD_SCRIPT = """
const fs = require("fs");
const out = process.argv[process.argv.indexOf("--outDir") + 1];
fs.mkdirSync(out, { recursive: true });
fs.copyFileSync("src/page.html", `${out}/index.html`);
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    package = {"name": "tiny", "version": "1.0.0", "scripts": {"build": "node build.cjs"}}
    lock = {**package, "lockfileVersion": 3, "packages": {"": {"name": "tiny", "version": "1.0.0"}}}
    (tmp_path / "package.json").write_text(json.dumps(package))
    (tmp_path / "package-lock.json").write_text(json.dumps(lock))
    (tmp_path / "build.cjs").write_text(BUILD_SCRIPT)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "page.html").write_text("first")
    return tmp_path


def build_quietly(project: Path) -> str:
    with (project.parent / "log").open("wb") as log:
        build(project, log)
    return (project / "dist" / "index.html").read_text()


def test_a_build_is_stale_until_made_and_again_after_an_edit(project: Path) -> None:
    assert stale(project)
    assert build_quietly(project) == "first"
    assert not stale(project)

    (project / "src" / "page.html").write_text("second")
    assert stale(project)
    assert build_quietly(project) == "second"
    assert not stale(project)

    (project / "src" / "page.html").rename(project / "src" / "other.html")
    assert stale(project)


def test_a_failed_build_leaves_the_old_one_and_the_log_says_why(project: Path) -> None:
    build_quietly(project)
    (project / "build.cjs").write_text('console.error("no such luck"); process.exit(3);')

    with pytest.raises(ExplorerBuildError, match="npm run build"):
        build_quietly(project)

    assert (project / "dist" / "index.html").read_text() == "first"
    assert stale(project)
    assert "no such luck" in (project.parent / "log").read_text()


def test_where_there_is_no_lock_there_is_nothing_to_build(tmp_path: Path) -> None:
    assert not stale(tmp_path)
