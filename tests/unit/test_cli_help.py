"""Help: it is fast, since it imports no library of networks, and it is true."""

import re
import subprocess
import sys
from typing import get_args

import pytest

from dealias.cli import COMMANDS, OWN_PARSERS, main
from dealias.cli.training_help import OPTIONS, brief_help
from dealias.metrics.functional import Protocol
from dealias.probe import SPECS

ASK = """
import sys
from dealias.cli import main
try:
    main({arguments!r})
except SystemExit as leaving:
    assert not leaving.code
print(sorted({{"torch", "pytorch_lightning", "matplotlib"}} & {{*sys.modules}}))
"""
LIGHT = [
    ["--help"],
    ["--version"],
    ["data", "check", "-h"],
    *([name, "--help"] for name in COMMANDS),
]


def shown(capsys, *arguments):
    with pytest.raises(SystemExit) as leaving:
        main(arguments)
    assert not leaving.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_help_imports_no_library_of_networks(arguments):
    program = ASK.format(arguments=arguments)
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", [name for name in COMMANDS if name not in OWN_PARSERS])
def test_types_have_names(command, capsys):
    said = shown(capsys, command, "--help")
    assert "type: Path" in said
    assert not re.search(r"0x[0-9a-f]|<(class|function)", said)


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict", "data check"])
def test_a_screen_of_options_that_there_are(command, capsys):
    assert main([*command.split(), "--help"]) == 0
    brief = capsys.readouterr().out
    assert brief == brief_help(command)
    there = shown(capsys, *command.split(), "--help_all")
    listed = [option for options in OPTIONS.values() for option in options]
    for option in listed:
        name = option.name
        known = "model.network" if name.startswith("model.network.") else name
        if command.split()[-1] in option.commands.split():
            assert re.search(rf"^  (-c( CONFIG)?, )?--{known}[ ,\n]", there, re.M), name
            assert re.search(rf"^  --{name}[ ,\n]", brief, re.M), name
    assert not re.search(r"0x[0-9a-f]{6}|<(class|function)", there)


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict", "data check"])
def test_the_example_below_the_options_is_for_this_command(command):
    *options, example, _ = brief_help(command).split("\n\n")
    for name in re.findall(r"--[\w.]+", example):
        assert f"  {name} " in "\n".join(options), name
    assert ("--data.predict_images" in example) == (command == "predict")
    assert ("labels/" in example) == (command != "predict")


def test_the_screen_of_a_test_has_what_it_can_count():
    screen = brief_help("test")
    for name in ("objects", "band_widths", "interval", "groups", "largest_shift"):
        assert f"  --{name} " in screen or f"  --{name}\n" in screen, name


def test_help_of_a_conversion_names_all_it_takes(capsys):
    said = " ".join(shown(capsys, "convert", "--help").split())
    assert "or of a UPerNet of the published code or MMSegmentation" in said


def test_what_help_says_without_its_library(capsys):
    evaluate = " ".join(shown(capsys, "evaluate", "--help").split())
    assert f"{{{','.join(get_args(Protocol))}}}" in evaluate
    probe = " ".join(shown(capsys, "probe", "--help").split())
    assert SPECS in probe


def test_help_says_which_noise_a_study_tests_under(capsys):
    said = " ".join(shown(capsys, "study", "--help").split())
    assert "20 if not given; --noise without a value skips them" in said


@pytest.mark.parametrize("command", ["compare", "figures"])
def test_help_says_from_where_images_are_drawn_without_trust(command, capsys):
    said = " ".join(shown(capsys, command, "--help").split())
    assert "without it, only from the page of evaluate --report, if it is below" in said
