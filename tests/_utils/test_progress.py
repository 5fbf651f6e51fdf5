import pytest

from sklearn_dlf._utils import progress
from sklearn_dlf._utils.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the clock of progress shows."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_long_task_says_what_is_done_and_how_long_the_rest_takes(clock, capsys):
    steps = Progress("{done} of {total} members evaluated", 4, True)
    clock[0] = 30.0
    steps.show(1)
    assert capsys.readouterr().out == "1 of 4 members evaluated, about 90 s left\n"


def test_lines_are_seldom_and_none_is_printed_at_the_end(clock, capsys):
    steps = Progress("{done} of {total}", 100, True)
    for _ in steps.counted(range(100)):
        clock[0] += 0.1
    assert len(capsys.readouterr().out.splitlines()) == 4  # of ten seconds


def test_a_quiet_task_prints_nothing(clock, capsys):
    steps = Progress("{done}", 2, False)
    clock[0] = 30.0
    steps.show(1)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("seconds", "text"), [(12.3, "12 s"), (200.0, "3 min"), (9000.0, "2.5 h")])
def test_a_time_is_told_in_its_own_unit(seconds, text):
    assert progress._duration(seconds) == text
