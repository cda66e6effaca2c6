import doctest
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dealias
from dealias.probe import SPECS

PACKAGES = sorted(
    module.name
    for module in pkgutil.walk_packages(dealias.__path__, "dealias.")
    if module.ispkg and module.name != "dealias.cli"
)
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(dealias.__path__, "dealias.")
    if not module.name.endswith("__main__")
)


def test_importing_it_imports_torch_and_numpy_alone():
    code = (
        "import sys, torch, numpy; before = set(sys.modules); import dealias;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['dealias']"


def test_the_extra_for_probing_has_the_libraries_whose_networks_it_names():
    distributions = {"smp": "segmentation-models-pytorch", "hf": "transformers"}
    libraries = {*re.findall(r"(\w+):NAME", SPECS)} - {"dealias"}
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extra = re.search(r"^probe = \[(.*?)\]", text, re.DOTALL | re.MULTILINE)[1]
    assert libraries == {"timm", "torchvision", "smp", "hf"}
    for library in libraries:
        assert f'"{distributions.get(library, library)}>=' in extra


def test_subpackages_come_on_first_use_and_others_do_not_exist():
    assert dealias.metrics.functional.scores
    with pytest.raises(AttributeError, match="no attribute 'metric'"):
        _ = dealias.metric


@pytest.mark.parametrize("name", ["dealias", *PACKAGES])
def test_all_is_sorted_and_there(name):
    module = importlib.import_module(name)
    constants_first = sorted(module.__all__, key=lambda n: (not n.isupper(), n.islower(), n))
    assert module.__all__ == constants_first
    assert all(getattr(module, public) is not None for public in module.__all__)


@pytest.mark.parametrize("name", ["dealias", *MODULES])
def test_the_examples_in_its_docstrings_run(name):
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(importlib.import_module(name), optionflags=flags).failed == 0


@pytest.mark.parametrize(
    "name",
    ["probe.Network", "labels.Sampling", "data.lowlight.LowLight", "metrics.instances.InstanceSet"],
)
def test_earlier_names_warn_and_are_what_they_are_called_now(name):
    module, _, attribute = f"dealias.{name}".rpartition(".")
    with pytest.warns(DeprecationWarning, match=rf"{name} is now dealias\.") as warned:
        old = getattr(importlib.import_module(module), attribute)
    now = str(warned[0].message).rpartition(" ")[2]
    assert old is pkgutil.resolve_name(now)


def test_everything_of_an_earlier_place_is_there(recwarn):
    names = {}
    exec("from dealias.data.lowlight import *", names)
    assert names["LowLight"] is dealias.lowlight.LowLight
    assert "dealias.data.lowlight.LowLight is now" in str([one.message for one in recwarn])


def test_every_package_on_the_site_comes_on_first_use():
    index = Path(__file__).parents[2] / "docs" / "api" / "index.md"
    packages = set(re.findall(r"\[dealias\.(\w+)", index.read_text(encoding="utf-8")))
    assert packages > {"metrics", "report"}
    for package in packages:
        assert getattr(dealias, package).__name__ == f"dealias.{package}"
