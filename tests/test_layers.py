"""The house has floors: a module may use the floors below it, never its neighbours or the floors above."""

import ast
from pathlib import Path

import pytest

FLOORS = [  # the modules of the first may use each other
    {"errors", "options", "wording", "registry", "family", "files", "lock", "memory", "provenance", "yamlfile"},
    {"config"},
    {"physics", "stages", "schema", "changes"},
    {"data", "simulations", "models", "losses", "metrics"},
    {"statistics", "crops", "blending", "families"},
    {"admission"},
    {"tasks", "door"},
    {"training", "inference", "evaluation", "export", "report"},
    {"search"},
    {"script", "driver", "archive"},
    {"explain"},
]
FLOOR = {name: i for i, floor in enumerate(FLOORS) for name in floor}
PACKAGE = Path(__file__).parents[1] / "m2m_core"
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")
TOP = {"__version__", "CITATION"}
SHARED = {"geometry", "patches", "field_to_field"}  # what others of their shelf are made of


def room(path):
    return path.relative_to(PACKAGE).with_suffix("").parts


def imports(path):
    """The rooms whose code a module names, however it imports them."""
    place = room(path)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            target = (*place[: len(place) - node.level], *filter(None, (node.module or "").split(".")))
            yield from [target[0]] if target else [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "m2m_core":
            yield from node.module.split(".")[1:2] or [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("m2m_core."))


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    own = room(path)[0]
    assert own in FLOOR, f"{own} has no floor yet: add it to FLOORS"
    for used in set(imports(path)) - TOP:
        assert used in FLOOR, f"{path.name} imports {used}, which has no floor"
        assert used == own or FLOOR[used] < FLOOR[own] or FLOOR[used] == FLOOR[own] == 0, (
            f"{own} must not import {used}"
        )


def test_every_floor_is_inhabited():
    assert {room(path)[0] for path in MODULES} == set(FLOOR)


def test_models_do_not_know_each_other():
    for shelf in ("models", "losses", "metrics", "simulations", "tasks", "report/sections", "report/figures"):
        named = {p.stem for p in (PACKAGE / shelf).glob("*.py") if "@register(" in p.read_text()} - SHARED
        for path in (PACKAGE / shelf).glob("*.py"):
            tree = ast.parse(path.read_text())
            used = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level == 1 and n.module}
            used |= {
                a.name
                for n in ast.walk(tree)
                if isinstance(n, ast.ImportFrom) and n.level == 1 and not n.module
                for a in n.names
            }
            assert not used & named, f"{shelf}/{path.name} imports {used & named}"


def test_only_the_bridge_knows_snakemake():
    for path in MODULES:
        names = {n.id for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Name)}
        assert "snakemake" not in names or path.name == "script.py"
