"""Fair comparison of two pieces of code on a busy machine: CPU time of alternating runs, A B A B, and their medians."""

import statistics
import time
from collections.abc import Callable
from typing import Any

__all__ = ["alternate", "cpu_time"]


def alternate(first: Callable[[], Any], second: Callable[[], Any], repeats: int = 15) -> tuple[float, float]:
    """Median CPU seconds of `first()` and of `second()`, run in turn `repeats` times after a warm-up."""
    first(), second()
    pairs = [(cpu_time(first), cpu_time(second)) for _ in range(repeats)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def cpu_time(run: Callable[[], Any]) -> float:
    """CPU seconds that this process, all its threads together, spends in `run()`."""
    start = time.process_time()
    run()
    return time.process_time() - start
