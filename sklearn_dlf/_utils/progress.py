"""Lines that say how far a long task is."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

# Seconds from one line to the next. A task that ends sooner prints none.
SECONDS_BETWEEN = 2.0


class Progress:
    """Prints how much of a task is done, and about how long the rest takes.

    Parameters
    ----------
    task : str
        What is counted, such as "[teacher] {done} of {total} members evaluated".
    total : int
        Number of steps.
    is_shown : bool
        Whether anything is printed.
    """

    def __init__(self, task: str, total: int, is_shown: bool):
        self.task, self.total, self.is_shown = task, total, is_shown
        self._began = self._last = time.monotonic()

    def show(self, n_done: int) -> None:
        """Print a line if the last one was printed some time ago."""
        if not self.is_shown:
            return
        now = time.monotonic()
        if now - self._last < SECONDS_BETWEEN or n_done >= self.total:
            return
        self._last = now
        text = self.task.format(done=f"{n_done:,}", total=f"{self.total:,}")
        print(f"{text}, {seconds_left(self._began, n_done, self.total)}", flush=True)

    def counted(self, steps: Iterable[Any]) -> Iterator[Any]:
        """Yield steps; each is done when the next one is wanted."""
        for number, step in enumerate(steps, start=1):
            self.show(number)
            yield step


def seconds_left(began: float, n_done: int, total: int) -> str:
    """Say about how long the rest of a task takes, which began at a time of `time.monotonic`."""
    left = (time.monotonic() - began) * (total - n_done) / n_done
    return f"about {_duration(left)} left"


def _duration(seconds: float) -> str:
    """Return a time as text."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
