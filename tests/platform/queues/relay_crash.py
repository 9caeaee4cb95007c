"""Run by the tests as a process of its own: `python relay_crash.py FOLDER STEP` relays and kills itself at a step of it.

STEP is read, half, sent or deleted.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from queues_place import Place

from jangbu.platform.queues.relay import Relay


class QueuesThatDie:
    """Before they take anything (`read`), after the first kind of messages (`half`), or when all is taken (`sent`)."""

    def __init__(self, place: Place, step: str) -> None:
        self._place, self._step, self._sent = place, step, 0

    def send(self, queue: str, messages: Any) -> int:
        if self._step == "read":
            die()
        new = self._place.queues.send(queue, messages)
        self._sent += len(messages)
        if self._step == "half" or (self._step == "sent" and self._sent == len(self._place.waiting())):
            die()
        return new


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    place = Place(Path(sys.argv[1]))
    Relay(place.database, QueuesThatDie(place, sys.argv[2])).run()  # type: ignore[arg-type]  # a stand-in
    die()
