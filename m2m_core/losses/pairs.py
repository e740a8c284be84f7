"""What every loss begins with: two fields of one shape, in one precision."""

from torch import Tensor

__all__ = ["apart", "pair"]


def pair(prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the target's precision; raises ValueError on different shapes, which would broadcast."""
    if prediction.shape != target.shape:
        raise ValueError(f"loss: prediction {tuple(prediction.shape)} and target {tuple(target.shape)}; expected equal")
    return prediction.to(target.dtype), target


def apart(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of each example of a batch, (B,)."""
    return (prediction - target).square().flatten(1).mean(1)
