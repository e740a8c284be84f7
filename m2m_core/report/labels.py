"""Words and numbers as a reader wants them: names of sources and metrics, units, significant digits."""

import math
import unicodedata
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "DASH",
    "GAP",
    "METRICS",
    "MINUS",
    "Metric",
    "capital",
    "decimals",
    "field_name",
    "fixed",
    "folds",
    "joined",
    "measure",
    "metric",
    "number",
    "places",
    "printable",
    "quantity",
    "source",
    "unit",
]

SOURCES = {
    "2lpt": "2LPT",
    "za": "ZA",
    "lpt": "LPT",
    "cola": "COLA",
    "pm": "PM",
    "wiener": "Wiener filter",
    "power_spectrum_baseline": "P(k) baseline",
    "power_spectrum_mlp": "P(k) MLP",
}
UNSEEN = {"Cc", "Cf", "Cs", "Cn"}
MINUS, DASH, THIN, GAP = "\u2212", "\u2013", "\u202f", "\u00a0"


@dataclass(frozen=True)
class Metric:
    """How a number is called, which unit it has ("field" is the unit of the field) and which way is better."""

    label: str
    text: str
    unit: Literal["field", "field2", ""] = ""
    better: Literal["lower", "higher", ""] = ""


METRICS = {
    "rmse": Metric("RMSE", "root mean square of prediction − truth", "field", "lower"),
    "vrmse": Metric("VRMSE", "RMSE over the standard deviation of the truth", "", "lower"),
    "mse": Metric("MSE", "mean square of prediction − truth", "field2", "lower"),
    "transfer_error": Metric("⟨|T − 1|⟩", "mean over the k-bins up to the Nyquist frequency", "", "lower"),
    "correlation_error": Metric("⟨|r − 1|⟩", "mean over the k-bins up to the Nyquist frequency", "", "lower"),
    "crps": Metric(
        "CRPS", "distance of the draws' distribution from the truth; of one draw the mean error", "field", "lower"
    ),
    "spread": Metric("spread", "root mean variance of the draws of a sample", "field"),
    "mean_rmse": Metric("RMSE of the mean", "of the draws of a sample", "field", "lower"),
    "spread_skill": Metric("spread / skill", "√((m + 1)/m) spread over RMSE of the mean; 1 is right"),
    "wasserstein": Metric("W₁", "Wasserstein distance of the one-point distributions", "field", "lower"),
    "psnr": Metric("PSNR", "peak signal-to-noise ratio [dB]", "", "higher"),
    "ssim": Metric("SSIM", "structural similarity", "", "higher"),
    "iou": Metric("IoU", "intersection over union", "", "higher"),
    "auc": Metric("AUC", "area under the ROC curve", "", "higher"),
    "accuracy": Metric("accuracy", "fraction of correct labels", "", "higher"),
    "precision": Metric("precision", "fraction of right ones among the answers 1 (mean over classes)", "", "higher"),
    "recall": Metric("recall", "fraction of the true 1 that were found (mean over classes)", "", "higher"),
    "f1": Metric("F₁", "harmonic mean of precision and recall", "", "higher"),
    "brier": Metric("Brier", "mean squared distance of probability and truth", "", "lower"),
    "ece": Metric("ECE", "expected calibration error: mean distance of probability and frequency", "", "lower"),
    "r2": Metric("R²", "part of the variance of the truth that is explained", "", "higher"),
    "chi2": Metric("χ²", "mean of (error / its standard deviation)²; 1 is right"),
    "coverage_1": Metric("within 1σ", "fraction of truths; 0.68 is right"),
    "coverage_2": Metric("within 2σ", "fraction of truths; 0.95 is right"),
    "efficiency": Metric("efficiency", "fraction of true voxels found", "", "higher"),
    "purity": Metric("purity", "fraction of found voxels that are true", "", "higher"),
}


def metric(name: str) -> Metric:
    """The label of a metric; an unknown one is called what it is called and has no better side."""
    return METRICS.get(name, Metric(name.replace("_", " "), ""))


def source(name: str) -> str:
    return SOURCES.get(name.lower(), name)


def field_name(name: str) -> str:
    return name.replace("_", " ")


def capital(text: str) -> str:
    """`text` with a capital first letter; the others stay as they are."""
    return text[:1].upper() + text[1:]


def unit(name: str, field: str, target: str) -> str:
    """Unit of a metric of `field`, given that of the target; a density has none. '' for a pure number."""
    known = "" if field == "density" else target
    return {"field": known, "field2": f"({known})²" if known else ""}.get(metric(name).unit, "")


def number(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits, never in floating notation where zeros would fill the line."""
    if not math.isfinite(value):
        return DASH if math.isnan(value) else ("∞" if value > 0 else f"{MINUS}∞")
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)) + 1e-12)
    if not -4 <= exponent < 6:
        mantissa = f"{value / 10.0**exponent:.{digits - 1}f}"
        return f"{mantissa} × 10{_superscript(exponent)}".replace("-", MINUS)
    return _signed(value, max(0, digits - 1 - exponent))


def quantity(value: float, unit: str) -> str:
    """A number and its unit, kept on one line."""
    return f"{number(value)}{unit and GAP + unit}"


def decimals(values: list[float], digits: int = 3) -> int:
    """Decimals that give the smallest of `values` `digits` significant ones, at most five, so that columns align."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    return min(5, max(0, digits - 1 - math.floor(math.log10(min(sizes))))) if sizes else 0


def places(means: list[float], spreads: list[float]) -> int:
    """Decimals of a column of measures: what the typical spread is worth, two or three digits of the smallest mean."""
    known = sorted(spread for spread in spreads if math.isfinite(spread) and spread)
    worth = decimals(known[(len(known) - 1) // 2 :][:1], 1) if known else 9
    return max(decimals(means, 2), min(decimals(means, 3), worth))


def fixed(value: float, places: int) -> str:
    """`value` with `places` decimals, or with significant digits where these would show nothing or too much."""
    if not math.isfinite(value) or value == 0:
        return number(value)
    small = abs(value) < 10.0 ** (1 - places) and places > 0
    return number(value, 2) if small or abs(value) >= 1e6 else _signed(value, places)


def measure(mean: float, spread: float, places: int) -> str:
    """'mean ± spread', the spread left out where one fold alone gives none; '(8.5 ± 1.2) × 10⁻¹⁰' of such."""
    text = fixed(mean, places)
    if not math.isfinite(spread):
        return text
    if "×" not in text:
        return text + _spread(spread, places)
    if abs(mean) < 1 and spread >= 10.0**-places / 2:  # a mean that is none beside its spread
        return _signed(round(mean, places) + 0.0, places) + _spread(spread, places)
    size = 10.0 ** math.floor(math.log10(abs(mean)) + 1e-12)
    return f"({_signed(mean / size, 1)}{_spread(spread / size, 1)}) × 10{text.partition('× 10')[2]}"


def _spread(spread: float, places: int) -> str:
    least = 10.0**-places
    shown = _signed(spread, places) if spread == 0 or spread >= least / 2 else f"<{_signed(least, places)}"
    return f" ± {shown}"


def folds(numbers: list[int]) -> str:
    """'fold 2' or 'folds 0, 2 and 3'."""
    return f"fold{'s' if len(numbers) > 1 else ''} {joined([str(k) for k in numbers])}"


def printable(text: str, keep: str = "") -> str:
    """`text` with control, format and surrogate characters replaced, but for those in `keep`."""
    return "".join(c if c in keep or unicodedata.category(c) not in UNSEEN else "\ufffd" for c in text)


def joined(words: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else "".join(words)


def _signed(value: float, places: int) -> str:
    text = f"{value:,.{places}f}" if abs(value) >= 10000 else f"{value:.{places}f}"
    return text.replace(",", THIN).replace("-", MINUS)


def _superscript(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
