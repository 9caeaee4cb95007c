"""What many processes say, in one terminal: whole lines, each with the name of who says it; coloured where that is a terminal."""

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)
"""ANSI's foreground colours, one after the other."""
PAUSE = 0.1
"""Seconds between two looks at the files."""
MOST = 1 << 20
"""Bytes of a file that are read at once; of a longer line the rest is another line."""


class Terminal:
    def __init__(self, stream: TextIO, names: Sequence[str]) -> None:
        self.is_terminal = stream.isatty()
        self._stream = stream
        self._lock = threading.Lock()
        self._width = max(map(len, names))
        with_colours = self.is_terminal and not os.environ.get("NO_COLOR")
        self._colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)} if with_colours else {}

    def say(self, name: str, text: str) -> None:
        """A line of a process; of a text with several, each has the name. Who has gone away with the terminal is spared."""
        head = f"{name:{self._width}} |"
        if name in self._colours:
            head = f"\x1b[{self._colours[name]}m{head}\x1b[0m"
        self.print("\n".join(f"{head} {line}" for line in text.splitlines()))

    def print(self, text: str) -> None:
        with self._lock:
            self._stream.write(text + "\n")
            self._stream.flush()


class Follower:
    """Says the new lines of files, by the names of whose they are, until it is stopped."""

    def __init__(self, terminal: Terminal, files: Mapping[str, Path]) -> None:
        self._terminal = terminal
        self._files = files
        self._read = dict.fromkeys(files, 0)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """What was written so far is said when this returns."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self.look(last=True)

    def _run(self) -> None:
        while not self._stopping.wait(PAUSE):
            self.look()

    def look(self, *, last: bool = False) -> None:
        """Say whole lines that are new; the last time also one without its end."""
        for name, file in self._files.items():
            try:
                with file.open("rb") as log:
                    log.seek(self._read[name])
                    new = log.read(MOST)
            except FileNotFoundError:
                continue
            whole = new if last or len(new) == MOST else new[: new.rfind(b"\n") + 1]
            self._read[name] += len(whole)
            if whole.strip():
                self._terminal.say(name, whole.decode(errors="replace"))
