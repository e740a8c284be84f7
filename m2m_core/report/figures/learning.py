"""How the trainings went."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas import DataFrame

from ...registry import register
from .. import style
from ..results import OPPOSED, ExperimentResults

__all__ = ["learning"]

LINES = {"adversarial": ("-", "generator"), "critic": ("--", "discriminator")}


@register("figure", "learning")
def learning(results: ExperimentResults) -> Figure:
    """Loss (thin) and validation (thick) of each fold, and the learning rate, against the step.

    Where a discriminator trains as well, its loss (dashed) and that of the generator before it (solid) stand between.
    """
    histories = {k: history for k, history in results.histories.items() if len(history)}
    if not histories:
        return style.blank("There is no learning history.")
    opposed = all(set(OPPOSED) <= set(history) for history in histories.values())
    figure, axes = style.canvas(1, [2.7, *([1.3] if opposed else []), 0.75], width=7.2)
    for fold, history in histories.items():
        _losses(axes[0, 0], fold, history)
        _rate(axes[-1, 0], fold, history)
    if opposed:
        _opposed(axes[1, 0], histories)
    _decorate(axes[0, 0], axes[-1, 0])
    style.legend(figure, axes.flat)
    return figure


def _losses(axes: Axes, fold: int, history: DataFrame) -> None:
    color = style.FOLDS[fold % len(style.FOLDS)]
    measured = history.dropna(subset=["validation"])
    axes.plot(history["step"], history["loss"], color=color, lw=0.8, alpha=0.55)
    axes.plot(measured["step"], measured["validation"], color=color, lw=2.0, label=f"fold {fold}")


def _opposed(axes: Axes, histories: dict[int, DataFrame]) -> None:
    for name in OPPOSED:
        line, label = LINES[name]
        for fold, history in histories.items():
            axes.plot(history["step"], history[name], line, color=style.FOLDS[fold % len(style.FOLDS)], lw=1.0)
        axes.plot([], [], line, color=style.FAINT, lw=1.0, label=label)
    axes.set_ylabel("adversarial\nlosses")


def _rate(axes: Axes, fold: int, history: DataFrame) -> None:
    axes.plot(history["step"], history["lr"], color=style.FOLDS[fold % len(style.FOLDS)], lw=1.0)


def _decorate(losses: Axes, rate: Axes) -> None:
    losses.plot([], [], color=style.FAINT, lw=0.8, alpha=0.7, label="training loss")
    losses.plot([], [], color=style.FAINT, lw=2.0, label="validation")
    losses.set_ylabel("loss")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("step")
    rate.margins(x=0.01)
    rate.set_ylim(bottom=0)
    rate.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)
    drawn = [value for line in losses.lines for value in line.get_ydata()]
    if any(value > 0 for value in drawn) and not any(value < 0 for value in drawn):  # as log-likelihoods may be
        losses.set_yscale("log")
