"""Real children: small Python programs."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apps.core.processes import Processes
from tests.waiting import is_running, wait_until

ROOT = Path(__file__).resolve().parents[3]
SLEEP = "import time; time.sleep(60)"
IGNORE_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def test_lines_carry_the_name_of_their_child(tmp_path: Path) -> None:
    output = io.StringIO()
    with Processes(output, cwd=tmp_path) as processes:
        processes.start("one", python("import sys; print('a'); print('b', file=sys.stderr)"))
        child = processes.wait()

    assert (child.name, child.code) == ("one", 0)
    assert output.getvalue() == "one     | a\none     | b\n"


def test_colour_is_for_terminals_that_want_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def coloured() -> bool:
        output = Terminal()
        with Processes(output, cwd=tmp_path) as processes:
            processes.start("one", python("print('a')"))
            processes.wait()
        return "\033[" in output.getvalue()

    monkeypatch.delenv("NO_COLOR", raising=False)
    assert coloured()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not coloured()


def test_output_can_go_to_a_file(tmp_path: Path) -> None:
    output = io.StringIO()
    with Processes(output, cwd=tmp_path) as processes:
        processes.start("one", python("print('a')"), log=tmp_path / "log")
        processes.wait()

    assert output.getvalue() == ""
    assert (tmp_path / "log").read_text() == "a\n"


def test_children_are_stopped_in_the_order_of_their_start(tmp_path: Path) -> None:
    says_goodbye = """if True:
        import signal, sys, time
        def leave(*_):
            with open("goodbyes", "a") as goodbyes:
                print(sys.argv[1], file=goodbyes)
            sys.exit(0)
        signal.signal(signal.SIGTERM, leave)
        print("hello")
        time.sleep(60)
    """
    output = io.StringIO()
    with Processes(output, cwd=tmp_path, stop_seconds=60) as processes:
        for name in ("first", "second", "third"):
            processes.start(name, python(says_goodbye, name))
        wait_until(lambda: output.getvalue().count("hello") == 3)

    assert (tmp_path / "goodbyes").read_text().split() == ["first", "second", "third"]


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    output = io.StringIO()
    with Processes(output, cwd=tmp_path, stop_seconds=0.2) as processes:
        child = processes.start("deaf", python(f"{IGNORE_SIGTERM}print('hello')\n{SLEEP}"))
        wait_until(lambda: "hello" in output.getvalue())

    assert child.code == -signal.SIGKILL


def test_what_a_child_leaves_behind_is_killed(tmp_path: Path) -> None:
    leaves_one_behind = """if True:
        import subprocess, sys
        print(subprocess.Popen([sys.executable, "-c", sys.argv[1]]).pid)
    """
    output = io.StringIO()
    with Processes(output, cwd=tmp_path) as processes:
        processes.start("parent", python(leaves_one_behind, SLEEP))
        processes.wait()
        wait_until(lambda: output.getvalue().endswith("\n"))
        orphan = int(output.getvalue().split()[-1])
        assert is_running(orphan)

    wait_until(lambda: not is_running(orphan))


def test_a_grandchild_that_left_and_keeps_the_output_open_does_not_hold_up_the_end(tmp_path: Path) -> None:
    leaves_a_daemon = """if True:
        import subprocess, sys
        print(subprocess.Popen([sys.executable, "-c", sys.argv[1]], start_new_session=True).pid)
    """
    output = io.StringIO()
    with Processes(output, cwd=tmp_path, stop_seconds=0.2) as processes:
        processes.start("parent", python(leaves_a_daemon, f"{SLEEP}\nopen('ended', 'w')"))
        processes.wait()
        wait_until(lambda: output.getvalue().endswith("\n"))
    daemon = int(output.getvalue().split()[-1])

    assert not (tmp_path / "ended").exists()
    os.kill(daemon, signal.SIGKILL)


def test_ctrl_c_in_the_terminal_reaches_no_child(tmp_path: Path) -> None:
    with Processes(io.StringIO(), cwd=tmp_path) as processes:
        child = processes.start("one", python(SLEEP))
        assert os.getsid(child.pid) != os.getsid(0)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_kill_9_of_the_parent_stops_the_children(tmp_path: Path) -> None:
    parent = f"""if True:
        import sys
        from pathlib import Path
        from apps.core.processes import Processes
        with Processes(sys.stdout, cwd=Path()) as processes:
            print(processes.start("one", [sys.executable, "-c", {SLEEP!r}]).pid, flush=True)
            processes.wait()
    """
    process = subprocess.Popen(python(parent), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    child = int(process.stdout.readline())
    # Before that it is a copy of its parent, and then `setpriv`.
    started = [sys.executable, "-c", SLEEP]
    wait_until(lambda: Path(f"/proc/{child}/cmdline").read_text().split("\0")[:3] == started)

    process.kill()
    process.communicate()

    wait_until(lambda: not is_running(child))


def test_output_that_nobody_reads_any_more_stops_nothing(tmp_path: Path) -> None:
    class ClosedTerminal(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError(text)

    with Processes(ClosedTerminal(), cwd=tmp_path) as processes:
        processes.start("one", python("print('a')\nprint('b')"))
        assert processes.wait().code == 0
        processes.write("more\n")
