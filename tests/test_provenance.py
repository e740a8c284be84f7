"""The digest of code: what changes it and what does not, what it follows, and that nothing is imported."""

import pytest

from m2m_core import provenance, registry
from m2m_core.provenance import code_of, fingerprint, modules_of

CODE = '''
"""What it is."""
import math


class A:
    """A class."""

    def f(self, x: int = 1) -> int:
        """Two lines.

        Of text.
        """
        return x + 1
'''


@pytest.fixture(autouse=True)
def forget():
    yield
    registry.use_plugins([])
    clear()


def clear():
    for cached in (provenance._tree, provenance._digest, provenance._imports):
        cached.cache_clear()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of its own in the place of this one."""
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "m2m_core")

    def write(**modules):
        for name, text in {"__init__": "", **modules}.items():
            path = tmp_path / "m2m_core" / f"{name.replace('.', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        clear()
        return lambda *names: code_of(*(f"m2m_core.{name}" for name in names))

    return write


@pytest.mark.parametrize(
    "old, new, same",
    [
        ("import math", "# why\nimport math  # so", True),
        ("return x + 1", "return (\n            x + 1\n        )", True),
        ("\n\n\n", "\n\n\n\n\n\n", True),
        ("What it is.", "Something else.", True),
        ("A class.", "Another.", True),
        ('"""A class."""\n', "", True),
        ("Of text.", "", True),
        ("x + 1", "x + 2", False),
        ("x: int = 1", "x: int = 2", False),
        ("x: int", "x: float", False),
        ("import math", "import cmath", False),
        ("def f", "def g", False),
        ("return x", "'''not a docstring'''\n        return x", False),
    ],
)
def test_only_what_runs_counts(package, old, new, same):
    assert old in CODE
    before = package(a=CODE)("a")
    assert (package(a=CODE.replace(old, new))("a") == before) is same


def test_imports_are_followed(package):
    chain = {
        "a": "from . import b",
        "b": "def f():\n    from .c import d",
        "c": "import m2m_core.e",
        "e": "x = 1",
        "z": "y = 1",
    }
    before = package(**chain)("a")
    assert package(**{**chain, "e": "x = 2"})("a") != before
    assert package(**{**chain, "z": "y = 2"})("a") == before
    assert list(modules_of("m2m_core.a")) == ["m2m_core", "m2m_core.a", "m2m_core.b", "m2m_core.c", "m2m_core.e"]


def test_cycles_end(package):
    code = package(a="from . import b", b="from . import a")
    assert code("a") == code("b") == code("a", "b")


def test_a_package_runs_on_the_way_to_its_modules(package):
    modules = {
        "p.__init__": "from .q import x",
        "p.q": "x = 1",
        "p.r": "from ..s import y",
        "s": "y = 1",
        "a": "import m2m_core.p.r",
    }
    package(**modules)
    assert set(modules_of("m2m_core.a")) == {f"m2m_core{m}" for m in ("", ".a", ".p", ".p.q", ".p.r", ".s")}


@pytest.mark.parametrize("test", ["TYPE_CHECKING", "typing.TYPE_CHECKING"])
def test_what_is_imported_for_types_alone_does_not_run(package, test):
    package(a=f"if {test}:\n    from . import b\nelse:\n    from . import c", b="", c="")
    assert "m2m_core.b" not in modules_of("m2m_core.a") and "m2m_core.c" in modules_of("m2m_core.a")


def test_names_that_are_no_modules_are_no_matter(package):
    package(a="from .b import Thing\nfrom os.path import join\nimport numpy.fft", b="class Thing: ...")
    assert set(modules_of("m2m_core.a")) == {"m2m_core", "m2m_core.a", "m2m_core.b"}


def test_a_template_belongs_to_its_module(package, tmp_path):
    code = package(page="x = 1")
    before = code("page")
    (tmp_path / "m2m_core" / "page.html").write_text("<p>")
    clear()
    assert code("page") != before


def test_a_module_that_does_not_exist_is_an_error(package):
    with pytest.raises(ModuleNotFoundError):
        package(a="")("nowhere")


def test_the_order_of_names_does_not_matter(package):
    code = package(a="x = 1", b="x = 2")
    assert code("a", "b") == code("b", "a") != code("a")


def test_the_fingerprint_depends_on_content_alone():
    assert fingerprint({"a": 1, "b": [1, 2.5, None]}) == fingerprint({"b": [1, 2.5, None], "a": 1})
    assert fingerprint([1, 2]) != fingerprint([2, 1]) and fingerprint(1) != fingerprint("1") != fingerprint(1.5)
    assert len(fingerprint({})) == 16


# ---- plugins

PLUGIN = """
from m2m_core.options import Count
from m2m_core.registry import register
from {package}layers import thing
@register("loss", "mine")
def mine(x, y, *, size: Count = 1):
    return x
"""


def digest_of_plugin(plugin):
    clear()
    registry.use_plugins([plugin])
    return code_of(registry.find("loss", "mine"))


def test_the_digest_of_a_plugin_file_is_its_content(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.format(package=""))
    before = digest_of_plugin(str(path))
    path.write_text(path.read_text() + "\n# a comment\n")
    assert digest_of_plugin(str(path)) == before
    path.write_text(path.read_text().replace("return x", "return y"))
    assert digest_of_plugin(str(path)) != before
    assert "m2m_core.options" in modules_of(registry.find("loss", "mine"))


@pytest.mark.parametrize(
    "place, package", [("losses.py", "."), ("losses.py", "my_package."), ("deep/losses.py", ".."), ("__init__.py", ".")]
)
def test_the_digest_of_a_plugin_package_follows_its_imports(tmp_path, monkeypatch, place, package):
    top = tmp_path / "my_package"
    (top / place).parent.mkdir(parents=True, exist_ok=True)
    for file, text in {
        "__init__.py": "",
        "deep/__init__.py": "",
        "layers.py": "thing = 1",
        place: PLUGIN.format(package=package),
    }.items():
        (top / file).parent.mkdir(exist_ok=True)
        (top / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    before = digest_of_plugin("my_package")
    assert "my_package.layers" in modules_of(registry.find("loss", "mine"))
    (top / "layers.py").write_text("thing = 2")
    assert digest_of_plugin("my_package") != before


def test_what_a_plugin_package_runs_on_the_way_to_a_module_is_its_code(tmp_path, monkeypatch):
    folder = tmp_path / "my_own" / "no_package"
    folder.mkdir(parents=True)
    (folder / "losses.py").write_text(PLUGIN.format(package=""))
    (folder.parent / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    before = digest_of_plugin("my_own")
    (folder.parent / "__init__.py").write_text("import torch\ntorch.set_default_dtype(torch.float64)")
    assert digest_of_plugin("my_own") != before
