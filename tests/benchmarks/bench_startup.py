"""Start-up: what importing the package and asking for help cost over bare Python, in milliseconds (medians of 15)."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time


def median_ms(arguments: list[str], runs: int = 15) -> float:
    """Median wall time of a process, after one warm-up."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[1:])


if __name__ == "__main__":
    bare = median_ms([sys.executable, "-c", "pass"])
    package = median_ms([sys.executable, "-c", "import wwc_eval"])
    help_text = median_ms([sys.executable, "-m", "wwc_eval", "--help"])
    print(f"bare Python                {bare:7.1f} ms")
    print(f"import wwc_eval           {package - bare:+8.1f} ms over bare Python (target 60)")
    print(f"wwc-eval --help            {help_text:7.1f} ms whole process     (target 250)")
