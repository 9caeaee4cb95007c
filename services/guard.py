"""The parent of one server: ends it when the run that asked for it is over or gone, and leaves nothing of it behind.

Started as `python -m services.guard FILE`, it goes into the background at once. It is told to end by SIGTERM.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from services.processes import Identity, descendants

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main(file: Path) -> None:
    order = json.loads(file.read_text())
    if os.fork():
        os._exit(0)
    os.setsid()
    woken, wake = os.pipe2(os.O_NONBLOCK)
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(wake)
    control(PR_SET_CHILD_SUBREAPER, 1)
    server = started(order)
    outlived = watch(order["owner"], server, woken)
    end(server, signal.Signals(order["stop_signal"]), order["grace"])
    for each in order["leftovers"]:
        Path(each).unlink(missing_ok=True)
    report(order, ended=server.returncode)
    if outlived:
        clear(Path(order["folder"]))


def clear(folder: Path) -> None:
    """Delete a server's folder, and the run's when it was its last one."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(FileNotFoundError):
        if not any(each.is_dir() for each in folder.parent.iterdir()):
            shutil.rmtree(folder.parent, ignore_errors=True)


def control(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def started(order: dict[str, Any]) -> "subprocess.Popen[bytes]":
    try:
        with Path(order["log"]).open("ab") as log:
            server = subprocess.Popen(
                order["argv"],
                env=order["environment"],
                cwd=order["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=order["user"],
                group=order["user"],
                extra_groups=None if order["user"] is None else [],
                preexec_fn=dies_with(os.getpid()),
            )
    except (OSError, subprocess.SubprocessError) as error:
        report(order, error=f"{type(error).__name__}: {error}")
        raise SystemExit(1) from error
    report(order, server=Identity.of(server.pid).kept())
    return server


def dies_with(parent: int) -> Callable[[], None]:
    """Runs in the server's process after it has changed its user, which would forget this."""

    def do() -> None:
        control(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return do


def report(order: dict[str, Any], **what: Any) -> None:
    state = Path(order["state"])
    if not state.parent.is_dir():
        return
    fresh = state.with_suffix(".new")
    fresh.write_text(json.dumps({"guard": Identity.of(os.getpid()).kept(), **what}))
    fresh.rename(state)


def watch(owner: dict[str, Any] | None, server: "subprocess.Popen[bytes]", woken: int) -> bool:
    """Wait for the end of any of the three; whether it was the owner's."""
    waiting = select.poll()
    waiting.register(woken, select.POLLIN)
    waiting.register(os.pidfd_open(server.pid), select.POLLIN)
    over = -1
    if owner:
        try:
            over = os.pidfd_open(owner["pid"])
        except ProcessLookupError:
            return True
        if not Identity.read(owner).is_alive():
            return True
        waiting.register(over, select.POLLIN)
    return over in {found for found, _ in waiting.poll()}


def end(server: "subprocess.Popen[bytes]", how: signal.Signals, grace: float) -> None:
    """Ask the server to end, then kill what is left; a subreaper's children are all that it has started."""
    if server.poll() is None:
        server.send_signal(how)
        for each in descendants(os.getpid()):
            each.send(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            server.wait(grace)
    while left := descendants(os.getpid()):
        for each in left:
            each.send(signal.SIGKILL)
        reap(server)
    reap(server)


def reap(server: "subprocess.Popen[bytes]") -> None:
    with suppress(subprocess.TimeoutExpired):
        server.wait(1)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
