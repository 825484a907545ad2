"""Keeps a PostgreSQL server for as long as anybody uses it. `config.embedded_postgres` starts this file.

    python -I postgres_keeper.py LOCK [--remove=DIRECTORY ...] -- COMMAND ...

Every user of the server holds a shared lock on the file LOCK, and the kernel drops it however the user ends.
So the exclusive lock is granted exactly when the last one has gone, killed or not; then the server stops.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading

STOP_SECONDS = 10


def main(arguments: list[str]) -> int:
    """Run COMMAND until it ends by itself or LOCK has no holder left, then remove the named directories."""
    options, command = arguments[: arguments.index("--")], arguments[arguments.index("--") + 1 :]
    # The main thread starts the server: the kernel's signal on a parent's death means the parent's thread.
    # What this process inherited is for the server too: the lock that says whether anything of it is left.
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, close_fds=False)
    threading.Thread(target=stop_when_unused, args=(server, options[0]), daemon=True).start()
    code = server.wait()
    for option in options[1:]:
        shutil.rmtree(option.removeprefix("--remove="), ignore_errors=True)
    return code


def stop_when_unused(server: subprocess.Popen[bytes], lock: str) -> None:
    """Wait for the exclusive lock and stop the server. Newcomers wait until this process has ended."""
    fcntl.flock(os.open(lock, os.O_RDWR), fcntl.LOCK_EX)
    server.send_signal(signal.SIGINT)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.send_signal(signal.SIGQUIT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
