import os
import subprocess
import time

import pytest

from dealias.study import runs


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="Windows has no process groups")
def test_those_who_read_for_a_process_end_with_it_even_if_they_hold_out(monkeypatch):
    monkeypatch.setattr(runs, "_PATIENCE", 0.3)
    script = "trap '' TERM; sleep 60 & echo $!; wait"  # both ignore what asks them to end
    process = subprocess.Popen(
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    child = int(process.stdout.readline())
    runs._end(process)
    process.stdout.close()
    deadline = time.monotonic() + 10
    while runs_still(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def runs_still(number):
    """Whether a process is there, and not merely waited for."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")
