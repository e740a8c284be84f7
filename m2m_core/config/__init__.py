"""The configuration: read strictly, frozen, closed. An error names the key, what was expected and the nearest name.

Nothing here imports torch. `Config.experiments` holds the ablations' variants as well, each a full experiment.
"""

from .keys import Config, Dataset, Experiment, Variant
from .reading import load, parse, trial_of

__all__ = ["Config", "Dataset", "Experiment", "Variant", "load", "parse", "trial_of"]
