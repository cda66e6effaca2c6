"""Classes and functions by their path, called with arguments from a file."""

import sys

import pytest

from dealias.code import CodeError, call_code, find_code, no_programs

MODULE = """
from torch import nn

class Inner(nn.Module):
    def __init__(self, width: int = 3):
        super().__init__()
        self.width = width

class Outer:
    def __init__(self, inner: nn.Module, num_classes: int, depth: int = 2, free=None):
        self.given = inner, num_classes, depth, free

    @classmethod
    def shallow(cls, num_classes: int):
        return cls(Inner(), num_classes, 1)

def make(classes: int, **more):
    return classes, more

class Deep(Inner):
    def __init__(self, **more):
        more.setdefault("width", 9)
        super().__init__(**more)

class Free:
    def __init__(self, a=None, b=None):
        self.given = a, b

class Broken:
    def __init__(self):
        raise RuntimeError("no\\nway")
"""


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine_code.py").write_text(MODULE)
    (tmp_path / "broken_code.py").write_text("1 / 0")
    (tmp_path / "lazy_code.py").write_text("def __getattr__(name): raise ImportError('no ' + name)")
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("mine_code", None)


def test_arguments_are_read_by_their_types_and_objects_are_made_in_turn():
    inner = {"class_path": "mine_code.Inner", "init_args": {"width": 5}}
    arguments = {"inner": inner, "depth": "3", "free": {"a": 1}}
    made, classes, depth, free = call_code(
        "mine_code.Outer", arguments, num_classes=4, other=1
    ).given
    assert (type(made).__name__, made.width) == ("Inner", 5)
    assert (classes, depth, free) == (4, 3, {"a": 1})


def test_what_is_given_goes_before_what_is_offered():
    inner = {"class_path": "mine_code.Inner"}
    arguments = {"inner": inner, "num_classes": 7}
    assert call_code("mine_code.Outer", arguments, num_classes=4).given[1] == 7


def test_functions_and_methods_of_classes():
    assert call_code("mine_code.make", {"colour": "red"}, classes=2) == (2, {"colour": "red"})
    assert call_code("mine_code.Outer.shallow", {}, num_classes=3).given[1:3] == (3, 1)


def test_what_is_not_given_is_left_to_the_code():
    assert call_code("mine_code.Deep", {}).width == 9
    assert call_code("mine_code.Deep", {"width": 4}).width == 4


def test_arguments_without_a_type_stay_as_they_are():
    assert call_code("mine_code.Free", {"a": "3", "b": "no"}).given == ("3", "no")
    inner = {"class_path": "mine_code.Inner"}
    assert call_code("mine_code.Free", {"a": [inner]}).given[0][0].width == 3


def test_nothing_is_found_where_programs_are_refused():
    with no_programs():
        with pytest.raises(CodeError, match=r"os\.system: refused: it is a program; --trust"):
            find_code("os.system")
        with pytest.raises(CodeError, match=r"torch\.os\.system: refused: it is a program"):
            find_code("segmentation_models_pytorch.losses.dice.torch.os.system")
        assert find_code("segmentation_models_pytorch.losses.DiceLoss")
    assert find_code("os.path.join")


@pytest.mark.parametrize(
    ("path", "arguments", "message"),
    [
        ("Outer", {}, "expected a path like module.Class, got 'Outer'"),
        ("../mine.Outer", {}, "expected a path like module.Class"),
        (3, {}, "expected a path like module.Class, got '3'"),
        ("no_such_code.Net", {}, "no_such_code.Net: No module named 'no_such_code'"),
        ("mine_code.Nett", {}, "mine_code.Nett: mine_code has no such class or function"),
        ("broken_code.Net", {}, "broken_code.Net: ZeroDivisionError: division by zero"),
        ("lazy_code.Net", {}, "lazy_code.Net: ImportError: no Net"),
        ("builtins.dict", {"a": 1}, "builtins.dict: "),
        ("mine_code.Inner", {"wdth": 3}, "no such argument 'wdth'; there are: width"),
        ("mine_code.Inner", {"width": "wide"}, "mine_code.Inner: init_args.width: expected int"),
        ("mine_code.Inner", [3], r"init_args: expected arguments by name, got \[3\]"),
        ("mine_code.Outer", {}, "required: init_args.inner, init_args.num_classes"),
        (
            "mine_code.Outer",
            {"inner": {"class_path": "mine_code.Iner"}, "num_classes": 2},
            "init_args.inner: .*Iner",
        ),
        ("mine_code.Broken", {}, "mine_code.Broken: RuntimeError: no way"),
    ],
)
def test_what_is_refused(path, arguments, message):
    with pytest.raises(CodeError, match=message) as caught:
        call_code(path, arguments)
    assert "\n" not in str(caught.value)


def test_a_module_that_lacks_another_says_which(tmp_path):
    (tmp_path / "lacking_code.py").write_text("import no_such_library")
    with pytest.raises(CodeError, match=r"lacking_code\.Net: No module named 'no_such_library'"):
        find_code("lacking_code.Net")
