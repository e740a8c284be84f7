"""`make bench`: every benchmark in a process of its own, and a table of the ratios."""

import subprocess
import sys
from pathlib import Path

LIMITS = {
    "crops": "at least 0.6",
    "cubes": "at least 3",
    "dag": "at most 1.3",
    "loop": "at most 1.05",
    "painting": "at most 1.0",
    "statistics": "at most 1.5",
    "spectrum": "at most 1.5",
}


def ratio(name: str) -> str:
    """The last line of a benchmark, its other lines shown."""
    run = subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], capture_output=True, text=True)
    print(f"--- {name}\n{run.stdout}{run.stderr}", flush=True)
    lines = run.stdout.splitlines()
    return lines[-1].removeprefix("ratio ") if run.returncode == 0 and lines else "failed"


def main() -> int:
    """Run all, print the table; 1 if one failed."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    ratios = {name: ratio(name) for name in names}
    print(f"{'benchmark':12} {'ratio':>8}   wanted")
    for name, value in ratios.items():
        print(f"{name:12} {value:>8}   {LIMITS.get(name, '')}")
    return int("failed" in ratios.values())


if __name__ == "__main__":
    sys.exit(main())
