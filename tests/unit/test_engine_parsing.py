"""What parsers say of a wrong option: the option, what was expected and what came, on a line."""

import pytest
from jsonargparse import ArgumentParser

from dealias.code import in_brief, names_class
from dealias.engine import BriefParser, ConfigError


class Parser(BriefParser, ArgumentParser):
    pass


class Refusing:
    def __init__(self) -> None:
        raise ModuleNotFoundError("no such package")


@pytest.fixture
def parser():
    parser = Parser()
    parser.add_argument("--rate", type=float)
    parser.add_argument("--share", type=float | None)
    parser.add_argument("--part", type=Refusing | bool | None)
    return parser


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "fast"], "rate: expected float, got fast"),
        (["--share", "half"], "share: expected float or null, got half"),
        (["--shar", "0.5"], "nrecognized arguments: --shar 0.5"),
    ],
)
def test_a_wrong_option(arguments, said, parser):
    with pytest.raises(ConfigError) as error:
        parser.parse_args(arguments)
    assert said in str(error.value)
    assert str(error.value).endswith("; --help lists the options")
    assert "\n" not in str(error.value)


def test_a_class_that_cannot_be_created(parser):
    options = parser.parse_args(["--part", f"{__name__}.Refusing"])
    with pytest.raises(ValueError, match="Union subtypes") as error:
        parser.instantiate(options)
    assert names_class(str(error.value))
    assert in_brief(str(error.value)) == f"{__name__}.Refusing: no such package"


def test_other_messages_stay():
    assert in_brief("data.name: expected  one\nof two") == "data.name: expected one of two"
    assert not names_class("data.name: expected one of two")
    assert len(in_brief("x" * 5000)) < 1010


def test_help_names_classes():
    parser = Parser()
    parser.add_argument("--part", help="such as <class 'a.B'>")
    assert "such as a.B" in parser.format_help()
