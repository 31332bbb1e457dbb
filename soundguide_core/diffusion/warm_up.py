"""A warm-up: where sampling starts from a source, the model looks again several times at its highest levels of noise.

    n times    x <- x + length noise curve g / |g|,    x0_hat <- D(x),    g = -dL/dx0_hat of the new estimate

From pure noise a model is undecided and follows any gradient. A source under noise (image to image), or one around a
mask, has decided: each step moves the estimate a little, and the model moves most of it back. Moves that the model sees
again in x before the next one add up instead, and stay pictures that it believes in. What it brings is measured in
docs/any-model.md. Axes: F frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from .guidance import Curve, Gradient, direction
from .levels import Level, When
from .rules import Look

FROM_NOISE = 0.99  # share of noise at which nothing of a source is left that could matter


@dataclass(frozen=True)
class WarmUp:
    """So many looks, in place of the rule's one move a step, while the share of noise falls to `until` times that of
    the first guided step: spread evenly over that fall, so that they are as many in few steps as in many.

    length: of a look's move of x, as a share of the noise, root mean square.
    """

    looks: int = 18
    until: float = 0.85
    length: float = 0.2

    def looks_at(self, when: When, share: float, masked: bool = False) -> int:
        """How often is looked again in the step at this share of noise: 0 where the rule moves the estimate.

        masked: whether a source stays around a mask; else sampling that starts from pure noise has no warm-up.
        """
        step = when.step(share)
        if step is None or not (masked or when.shares[0] < FROM_NOISE):
            return 0
        shares = [*when.within, 0.0]
        fall = (1 - self.until) * shares[0]
        before, after = (min(1.0, (shares[0] - shares[i]) / fall) for i in (step, step + 1))
        return round(self.looks * after) - round(self.looks * before)


def look_repeatedly(
    look: Look,
    x: Tensor,
    x0: Tensor,
    asked: Callable[[Tensor], Gradient],
    level: Level,
    length: float,
    looks: int,
    curve: Curve = None,
    *,
    mask: Tensor | None = None,
    first: Gradient | None = None,
) -> Tensor:
    """x and x0 = D(x) [F,...] => D of x after so many moves along what is asked of each estimate; outside the mask x0.

    asked: x0 => its Gradient. first: that of x0, where it is known.
    """
    x, start = x.detach(), x0.detach()
    x0, found = start, asked(start) if first is None else first
    for i in range(looks):
        found = found if i == 0 else asked(x0)
        d = direction(found.g, curve, mask, found.rest)
        if not d.any():
            break
        x = x + length * level.noise * d
        x0 = look(x)
    return x0 if mask is None else start + mask * (x0 - start)
