"""What a power spectrum costs over the FFT that it cannot avoid: `python -m tests.benchmarks.spectrum`."""

import numpy as np
import scipy.fft

from m2m_core.physics import spectra

from ._timing import alternate

__all__ = ["main"]

MESH = 256


def main() -> None:
    """Print the CPU time of P(k) of a 256^3 float32 field, of its FFT alone, and as the last line their ratio."""
    field = np.random.default_rng(1).standard_normal((MESH,) * 3, dtype=np.float32)
    box_size = (1000.0,) * 3
    ours, fft = alternate(lambda: spectra.power(field, box_size), lambda: scipy.fft.rfftn(field))
    print(f"P(k) of {MESH}^3 float32 {1e3 * ours:.1f} ms CPU")
    print(f"its FFT alone          {1e3 * fft:.1f} ms CPU")
    print(f"ratio {ours / fft:.3f}")


if __name__ == "__main__":
    main()
