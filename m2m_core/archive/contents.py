"""What goes into an archive besides results: code, config, plugins, and the names of everything that was installed."""

import json
import platform
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

import yaml

from ..files import digest
from ..provenance import fingerprint
from ..registry import PACKAGE, plugin_files

__all__ = ["Portable", "code", "code_digest", "environment", "requirements"]

TOP = PACKAGE.parent
FOLDERS = (PACKAGE.name, "config", "envs", "workflow")
FILES = ("CITATION.cff", "LICENSE", "Makefile", "pyproject.toml")
HEADER = "# The config that was used: all files and overrides laid over each other, every default filled in.\n"
README = "README-m2m.md"  # the workflow's own, beside that of the archive


class Portable:
    """Where things lie in an archive: results below `results`, plugins that lie elsewhere below `plugins`."""

    def __init__(self, results: str, plugins: Iterable[str]) -> None:
        self.results = results
        self.plugins = {plugin: self._plugin(number, plugin) for number, plugin in enumerate(plugins)}

    @staticmethod
    def _plugin(number: int, plugin: str) -> str:
        path = Path(plugin)
        inside = path.suffix != ".py" or (not path.is_absolute() and ".." not in path.parts)
        return plugin if inside else f"plugins/{number}/{path.name}"

    def path(self, path: str) -> str:
        """The name in the archive of a result."""
        return f"results/{Path(path).relative_to(self.results).as_posix()}"

    def plugin_files(self) -> dict[str, Path]:
        """Name in the archive -> file; an installed package lies at the top, where Python finds it."""
        found = {}
        for plugin, name in self.plugins.items():
            for path, module in plugin_files(plugin):
                package = module.replace(".", "/") + ("/__init__.py" if path.name == "__init__.py" else ".py")
                found[name if name.endswith(".py") else package] = path
        return found

    def config(self, config: Mapping[str, Any], variants: Iterable[str]) -> str:
        """The whole config, with all defaults, as YAML that stands for itself; ablations make their experiments."""
        experiments = {name: e for name, e in config["experiments"].items() if name not in set(variants)}
        plugins = [self.plugins[plugin] for plugin in config["plugins"]]
        changed = {**config, "experiments": experiments, "plugins": plugins, "results": "results"}
        return HEADER + yaml.safe_dump(changed, sort_keys=False, allow_unicode=True)

    def description(self, described: Mapping[str, Any]) -> dict[str, Any]:
        """What the report knows of an experiment, without its predictions."""
        folds = {
            fold: {name: self.path(path) for name, path in files.items() if name != "predictions.h5"}
            for fold, files in described["folds"].items()
        }
        return {**described, "folds": folds, "catalogue": self.path(described["catalogue"])}


def code() -> dict[str, Path]:
    """Name in the archive -> file, of the workflow, the library and their environments."""
    files = [path for folder in FOLDERS for path in (TOP / folder).rglob("*") if path.is_file()]
    kept = [path for path in files if not _is_left_out(path.relative_to(TOP))]
    found = {path.relative_to(TOP).as_posix(): path for path in sorted(kept)}
    found |= {name: TOP / name for name in FILES if (TOP / name).is_file()}
    return {**found, **({README: TOP / "README.md"} if (TOP / "README.md").is_file() else {})}


def _is_left_out(path: Path) -> bool:
    return path.suffix == ".pyc" or any(part.startswith(".") or part == "__pycache__" for part in path.parts)


def code_digest(plugins: Mapping[str, Path]) -> str:
    """What an archive depends on besides results."""
    return fingerprint({name: digest(path) for name, path in {**code(), **plugins}.items()})


# ---- the environment


def requirements() -> str:
    """Exact versions of everything installed, for pip; what came from a folder of this machine is named only."""
    lines = ["# Everything that was installed where the archive was made."]
    for found in _installed():
        where = json.loads(found.read_text("direct_url.json") or "{}").get("url", "")
        version = found.version.partition("+")[0]  # a local version, as of torch for CPUs, is on no index
        lines.append(f"{'# from a folder: ' if where.startswith('file:') else ''}{found.name}=={version}")
    return "\n".join(lines) + "\n"


def environment() -> dict[str, Any]:
    """Python, platform, and the full version of every package."""
    packages = {found.name: found.version for found in _installed()}
    return {"python": platform.python_version(), "platform": platform.platform(), "packages": packages}


def _installed() -> list[Distribution]:
    """What Python finds, each name once: the first of a path hides the others."""
    found: dict[str, Distribution] = {}
    for distribution in distributions():
        if distribution.name:
            found.setdefault(re.sub(r"[-_.]+", "-", distribution.name).lower(), distribution)
    return [found[name] for name in sorted(found)]
