"""Imports point one way, and go through the faces of packages."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import dealias

SOURCE = Path(dealias.__file__).parent
ARCHITECTURE = SOURCE.parents[1] / "docs" / "architecture.md"
MODULES = {
    ".".join(("dealias", *path.relative_to(SOURCE).with_suffix("").parts)): path
    for path in SOURCE.rglob("*.py")
}
FACES = {name.removesuffix(".__init__") for name in MODULES if name.endswith("__init__")}


def imports(path):
    """Modules of the project that a file imports, anywhere but for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        inside
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inside in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dealias"):
            within = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in names() else node.module for name in within)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("dealias."))


def names():
    return {name.removesuffix(".__init__") for name in MODULES}


def package_of(module):
    """The first level below dealias."""
    return [*module.split("."), ""][1]


def layers():
    """Rows of the drawing in the architecture page, the lowest first."""
    text = ARCHITECTURE.read_text(encoding="utf-8")
    [drawing] = re.findall(r"```layers\n(.*?)```", text, re.DOTALL)
    rows = [line.split("#")[0].split() for line in drawing.splitlines()]
    return {package: height for height, row in enumerate(reversed(rows)) for package in row}


def test_every_package_is_drawn():
    found = {package_of(name.removesuffix(".__init__")) for name in MODULES}
    assert layers().keys() == found - {"", "__init__", "__main__"}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_packages_import_those_below_and_only_their_faces(module):
    package = package_of(module)
    if package in ("__init__", "__main__"):
        return
    height = layers()
    for imported in imports(MODULES[module]):
        other = package_of(imported)
        if other in ("", package):
            continue
        assert height[other] < height[package], f"{imported} is not below {package}"
        assert imported in FACES or imported.count(".") == 1, f"{imported} is not a face"


def test_no_module_imports_itself_by_way_of_others():
    graph = {name.removesuffix(".__init__"): set(imports(path)) for name, path in MODULES.items()}
    TopologicalSorter(graph).prepare()  # raises with the circle
