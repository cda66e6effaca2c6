"""Items read in order, by this process or by others."""

import os
import signal
from contextlib import contextmanager
from functools import partial

import pytest

from dealias.data import Scenes, SegmentationDataModule, check_data
from dealias.data.instances import InstanceDataModule, check_instances
from dealias.evaluation import Options
from dealias.processes import ProcessError, open_progress, read_in_order
from dealias.report import report_folders
from dealias.text import FileError
from reports import CLASSES, write_folders
from squares import write_squares

PARENT = os.getpid()


def square(number):
    return number**2


def fail(error, number):
    if number == 2:
        raise error
    return number


def die(*_):
    assert os.getpid() != PARENT
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 1, 2])
class TestReadInOrder:
    def test_order_and_ticks(self, workers):
        ticks = []
        found = read_in_order(square, range(5), workers, lambda: ticks.append(len(ticks)))
        assert list(found) == [0, 1, 4, 9, 16]
        assert ticks == [0, 1, 2, 3, 4]

    def test_nothing(self, workers):
        assert list(read_in_order(square, [], workers)) == []

    def test_an_error_comes_as_it_is(self, workers, tmp_path):
        found = read_in_order(partial(fail, FileError(tmp_path, "is broken")), range(5), workers)
        assert [next(found), next(found)] == [0, 1]
        with pytest.raises(FileError) as raised:
            next(found)
        assert str(raised.value) == f"{tmp_path}: is broken"

    def test_an_error_of_the_program_is_no_dead_process(self, workers):
        with pytest.raises(RuntimeError) as raised:
            list(read_in_order(partial(fail, RuntimeError("a fault")), range(5), workers))
        assert not isinstance(raised.value, ProcessError)
        assert "a fault" in str(raised.value)


def test_a_process_that_dies():
    with pytest.raises(ProcessError, match="a reading process died"):
        list(read_in_order(die, range(5), 2))


def test_a_process_that_dies_while_data_is_checked(monkeypatch):
    data = SegmentationDataModule(name="scenes", scenes=Scenes(2, 2), workers=1)
    monkeypatch.setattr("dealias.data.segmentation.check._count", die)
    with pytest.raises(ProcessError, match="a reading process died"):
        check_data(data)


def test_a_process_that_dies_while_instances_are_checked(tmp_path, monkeypatch):
    data = InstanceDataModule(**write_squares(tmp_path) | {"workers": 1})
    monkeypatch.setattr("dealias.data.instances.check._problem", die)
    with pytest.raises(ProcessError, match="a reading process died"):
        check_instances(data)


def test_a_process_that_dies_while_a_page_is_drawn(tmp_path, monkeypatch):
    write_folders(tmp_path)
    monkeypatch.setattr("dealias.report.writer.ReportWriter.draw", die)
    folders = (tmp_path / "a", tmp_path / "targets")
    with pytest.raises(ProcessError, match="a reading process died"):
        report_folders(tmp_path / "page", *folders, Options(CLASSES), workers=1)
    assert not (tmp_path / "page").exists()


def test_progress():
    said = []

    @contextmanager
    def progress(total):
        said.append(total)
        yield lambda: said.append("tick")
        said.append("closed")

    with open_progress(progress, 2) as tick:
        assert list(read_in_order(str.upper, ["a", "b"], 0, tick)) == ["A", "B"]
    assert said == [2, "tick", "tick", "closed"]
    with open_progress(None, 3) as tick:
        tick()
