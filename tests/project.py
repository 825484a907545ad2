"""The project for processes of their own, without what this machine adds to it: neither `.env` nor `var`."""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Without the explorer, whose build takes longer than all that is done with a copy.
NOT_COPIED = shutil.ignore_patterns(".*", "var", "explorer", "docs", "tests", "__pycache__", "htmlcov")
# No settings: of a `.env` there are traces in the environment once our own settings have been read.
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "COVERAGE_PROCESS_CONFIG")


def copy_project(to: Path) -> Path:
    """`to`, with a copy of the project. Coverage knows it when `to` is called "clone" or "a broadside"."""
    return Path(shutil.copytree(ROOT, to, ignore=NOT_COPIED))


def clean_environment(**settings: str) -> dict[str, str]:
    """An environment in which `settings` are the only ones."""
    return {name: os.environ[name] for name in KEPT if name in os.environ} | settings
