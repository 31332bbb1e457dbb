"""How a run is run, whatever is trained: the recipe's [run], and the options of `train`."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ...common.errors import InputError, check_number, check_whole
from .settings import from_table

AUTO = "auto"
DTYPES = (AUTO, "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class RunSettings:
    """How long, in what parts, how often looked at.

    max_time: minutes after which a run saves and ends, to be resumed; 0: none. accumulate: parts of a batch that are
    in memory one after the other. validate_every: steps between looks at the held-out part; 0: at each checkpoint.
    log_every: steps whose mean losses are a row of metrics.csv. tensorboard: the same figures as TensorBoard's events.
    dtype: of features, "auto" for bfloat16 on a GPU and float32 elsewhere; "" for the recipe's own. estimate: a few
    steps, then Estimated is raised and nothing is written.
    """

    max_time: float = 0.0
    accumulate: int = 1
    validate_every: int = 0
    log_every: int = 10
    tensorboard: bool = False
    dtype: str = ""
    estimate: bool = False

    def __post_init__(self) -> None:
        check_number(self.max_time, "The longest time of a run", low=0, high=1e6)
        check_whole(self.accumulate, "The number of parts of a batch", low=1, high=4096)
        check_whole(self.validate_every, "The steps between validations", low=0, high=10**9)
        check_whole(self.log_every, "The steps of a row of metrics.csv", low=1, high=10**9)
        if self.dtype and self.dtype not in DTYPES:
            raise InputError(f"There is no precision {self.dtype!r}.", f"Use one of {', '.join(DTYPES)}.")

    @classmethod
    def of(cls, config: Mapping) -> RunSettings:
        """Of a recipe, whose [run] may be absent.

        Raises:
            InputError: an entry that there is not, or TensorBoard without its package: now, not after data are read.
        """
        settings = from_table(cls, config.get("run", {}), "run")
        if settings.tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise no_tensorboard()
        return settings

    def dtype_for(self, own: str, device: str | torch.device) -> str:
        """The name of the dtype to compute features in: this one, or the recipe's own; "auto" by the device."""
        name = self.dtype or own
        if name not in DTYPES:
            raise InputError(f"There is no dtype {name!r}.", f"Use one of {', '.join(DTYPES)}.")
        if name != AUTO:
            return name
        return "bfloat16" if torch.device(device).type == "cuda" else "float32"


def no_tensorboard() -> InputError:
    return InputError("TensorBoard's events need the package tensorboard.", "Install it: pip install tensorboard.")
