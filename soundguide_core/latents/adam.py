"""Adam (D. P. Kingma and J. Ba, 2015) by PyTorch's own step, without the class around it.

torch.optim.Adam imports PyTorch's compiler when it takes its first parameters, 2 to 5 s of the processor before the
first step; the function that it calls for every step, torch.optim.adam.adam, does not.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """The running means of some tensors' gradients. On CUDA a step is one kernel for all of them."""

    def __init__(self, params: Iterable[Tensor], betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8):
        self.params, self.betas, self.eps = list(params), betas, eps
        self.means: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # m, v and t of each, from its first gradient on

    def zero_grad(self) -> None:
        for x in self.params:
            x.grad = None

    def _state(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if id(x) not in self.means:
            steps = torch.zeros((), device=x.device if x.is_cuda else None)  # float32, as fused steps ask
            self.means[id(x)] = torch.zeros_like(x), torch.zeros_like(x), steps
        return self.means[id(x)]

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """x <- x - lr m' / (sqrt(v') + eps), of those that have a gradient; m', v' corrected for their zero start."""
        moved = [(x, x.grad) for x in self.params if x.grad is not None]
        if not moved:
            return
        means, squares, steps = (list(part) for part in zip(*(self._state(x) for x, _ in moved)))
        adam(
            [x for x, _ in moved], [grad for _, grad in moved], means, squares, [], steps, lr=lr, beta1=self.betas[0],
            beta2=self.betas[1], eps=self.eps, weight_decay=0.0, amsgrad=False, maximize=False,
            fused=True if all(x.is_cuda for x, _ in moved) else None,
        )  # fmt: skip
