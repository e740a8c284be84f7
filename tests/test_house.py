"""The measures of the house: short functions, short files, torch where it belongs, no unsafe loading, no shell."""

import ast
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from m2m_core import registry

TOP = Path(__file__).parents[1]
PACKAGE = TOP / "m2m_core"
MODULES = sorted(PACKAGE.rglob("*.py"))
SOURCES = MODULES + sorted(TOP.glob("workflow/scripts/*.py"))
WITH_TORCH = (
    "models",
    "losses",
    "tasks",
    "export",
    "training",
    "training.py",
    "inference",
    "inference.py",
    "evaluation",
    "evaluation.py",
    "search",
)
TORCH_FREE = [
    "config", "config.keys", "data.catalogue", "data.stage", "data.sources", "statistics", "crops", "simulations",
    "simulations.shapes", "report", "report.stage", "stages", "schema", "door", "script", "explain", "models",
    "models.geometry", "models.patches", "metrics", "admission", "blending", "inference.answers", "inference.ensemble",
    "inference.writing", "families.fields", "families.labels", "families.adversarial",
]  # fmt: skip


def relative(path):
    return str(path.relative_to(TOP))


def code_lines(node, text):
    """Lines of a function that hold code: no blank ones, no comments, no docstring."""
    first = node.body[0]
    docstring = range(0)
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        docstring = range(first.lineno, first.end_lineno + 1)
    lines = [(i, text[i - 1].strip()) for i in range(node.lineno, node.end_lineno + 1) if i not in docstring]
    return sum(bool(line) and not line.startswith("#") for _, line in lines)


def functions(path):
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{relative(path)}:{node.lineno} {node.name}", code_lines(node, text.splitlines())


LENGTHS = {name: length for path in SOURCES for name, length in functions(path)}


def test_no_function_is_longer_than_sixty_lines():
    assert not {name: length for name, length in LENGTHS.items() if length > 60}


def test_the_median_function_has_at_most_eight_lines():
    assert statistics.median(LENGTHS.values()) <= 8


def test_nine_of_ten_functions_have_at_most_31_lines():
    assert statistics.quantiles(LENGTHS.values(), n=10)[-1] <= 31


def test_no_file_is_longer_than_four_hundred_lines():
    assert not {relative(path): n for path in SOURCES if (n := len(path.read_text().splitlines())) > 400}


@pytest.mark.parametrize("path", [p for p in MODULES if p.read_text().strip()], ids=relative)
def test_a_module_says_its_role_and_what_is_public(path):
    tree = ast.parse(path.read_text())
    first = (ast.get_docstring(tree) or "").split("\n")[0]
    assert first.endswith((".", ":", "?")) or len(ast.get_docstring(tree) or "") > len(first), (
        f"{relative(path)} has no first line"
    )
    public = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")}
    if public:
        lists = [
            n.value for n in tree.body if isinstance(n, ast.Assign) and getattr(n.targets[0], "id", "") == "__all__"
        ]
        assert lists, f"{relative(path)} has no __all__"
        told = {element.value for element in lists[0].elts}
        assert told <= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} | public | names_imported(tree) | {
            "register"
        }


def names_imported(tree):
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).split(".")[0] for node in nodes for alias in node.names}


@pytest.mark.parametrize("path", sorted(TOP.glob("workflow/scripts/*.py")), ids=relative)
def test_a_script_decides_nothing(path):
    tree = ast.parse(path.read_text())
    assert not [
        n
        for n in ast.walk(tree)
        if isinstance(n, ast.If | ast.For | ast.While | ast.FunctionDef | ast.Lambda | ast.Try)
    ]
    assert sum(isinstance(n, ast.With) for n in tree.body) == 1 and len(path.read_text().splitlines()) <= 20


# ---- torch


def statements(node):
    """All nodes but those for type checkers."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")):
            yield child
            yield from statements(child)


def imported(path):
    for node in statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_torch_is_imported_where_it_belongs(path):
    if path.relative_to(PACKAGE).parts[0] not in WITH_TORCH:
        assert not {"torch", "tensorboard", "tqdm"} & set(imported(path))
    if path.relative_to(PACKAGE).parts[0] != "report":
        assert not {"pandas", "matplotlib", "jinja2"} & set(imported(path)) or path.name == "pictures.py"


def test_weights_and_biases_is_imported_by_its_tracker_alone():
    assert [relative(path) for path in SOURCES if "wandb" in imported(path)] == ["m2m_core/training/trackers/wandb.py"]


def test_optuna_is_imported_where_a_search_runs_and_nowhere_else():
    assert [relative(path) for path in SOURCES if "optuna" in imported(path)] == ["m2m_core/search/journal.py"]


def test_most_stages_run_without_torch_and_optuna():
    code = f"""
import importlib, sys
for name in {TORCH_FREE!r}:
    importlib.import_module("m2m_core." + name)
    assert not {{"torch", "optuna"}} & sys.modules.keys(), name
"""
    subprocess.run([sys.executable, "-c", code], cwd=TOP, check=True)


def test_scripts_of_stages_without_torch_import_none():
    for name in (
        "simulation",
        "catalogue",
        "moments",
        "statistics",
        "crops",
        "figure",
        "report",
        "comparison",
        "trials",
        "admission",
        "answers",
        "ensemble",
        "writing",
    ):
        text = (TOP / f"workflow/scripts/{name}.py").read_text()
        modules = [m for m in re.findall(r"from (m2m_core[\w.]*) import", text)]
        code = f"import sys\nfor m in {modules!r}: __import__(m)\nassert 'torch' not in sys.modules"
        subprocess.run([sys.executable, "-c", code], cwd=TOP, check=True)


# ---- safety


def calls(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_nothing_unsafe_is_loaded(path):
    assert "weights_only=False" not in path.read_text()
    for function, options in calls(path):
        if function == "torch.load":
            assert options.get("weights_only") == "True"
        if function in ("np.load", "numpy.load"):
            assert options.get("allow_pickle") == "False"
        assert function not in ("pickle.load", "pickle.loads", "yaml.load", "yaml.unsafe_load", "os.system", "exec")
        assert options.get("shell") != "True"


def test_only_the_registry_imports_by_name_or_evaluates():
    for path in MODULES:
        used = {f for f, _ in calls(path)}
        dynamic = {
            "importlib.import_module",
            "import_module",
            "__import__",
            "eval",
            "importlib.util.spec_from_file_location",
        }
        assert not used & dynamic or path.name == "registry.py", relative(path)


def test_no_rule_has_a_shell():
    for path in [*TOP.glob("workflow/**/*.smk"), TOP / "workflow/Snakefile"]:
        text = path.read_text()
        assert not re.search(r"^\s*(shell|run)\s*:|\bshell\(", text, re.M), relative(path)


def test_rules_are_short():
    for path in TOP.glob("workflow/rules/*.smk"):
        for rule in re.split(r"^(?=rule )", path.read_text(), flags=re.M)[1:]:
            assert len([line for line in rule.splitlines() if line.strip()]) <= 32, (
                f"{relative(path)}: {rule.splitlines()[0]}"
            )


def test_only_files_writes():
    """Whole files or none: nothing else opens a file for writing or renames one, but logs and what grows."""
    growing = {"script.py", "history.py", "tracking.py", "files.py", "progress.py", "recording.py"}
    for path in MODULES:
        tree = ast.parse(path.read_text())
        opened = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "open"]
        modes = {a.value for n in opened for a in n.args[1:2] if isinstance(a, ast.Constant)}
        renamed = {f for f, _ in calls(path)} & {"os.rename", "os.replace", "shutil.move"}
        assert path.name in growing or not (renamed or {m for m in modes if set(m) & set("wax+")}), relative(path)


# ---- families


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_family_is_asked_for_by_name(path):
    """A new family is a file in its rooms, never an `if` in the machinery: see `m2m_core.family`."""
    names = registry.entries("task").keys()
    compared = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Compare)]
    literals = {c.value for n in compared for c in ast.walk(n) if isinstance(c, ast.Constant)}
    assert not names & {value for value in literals if isinstance(value, str)}
