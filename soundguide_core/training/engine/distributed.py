"""Several processes that share each batch, started by `accelerate launch` or torchrun; one process needs no launcher.

Data parallelism as in torch's DistributedDataParallel: every process draws the same whole batch of a step, computes
its share of it (shares), gradients are averaged over processes before each update, and so the weights stay equal, and
what n processes do is what one does but for the order of sums. A share may be computed in parts one after the other
(accumulation). Rank 0 writes the files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ...common.errors import InputError
from ...common.memory import tune_malloc

T = TypeVar("T")


def setup_process(device: str | torch.device) -> None:
    """Joins the process group, where there is one, and tunes malloc and cuDNN for steps of one shape, many times."""
    init_distributed(device)
    if torch.device(device).type == "cpu":
        tune_malloc()
    torch.backends.cudnn.benchmark = True


def init_distributed(device: str | torch.device = "cpu") -> None:
    """Joins the process group that a launcher's environment variables describe, on the GPU of its number; nothing where
    there is none."""
    device = torch.device(device)
    if device.type == "cuda" and device.index is None:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def rank() -> int:
    """This process's number in 0..num_processes() - 1; 0 is the one that writes."""
    return dist.get_rank() if _is_initialized() else 0


def num_processes() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if _is_initialized() else 1


def shares(batch: int, accumulate: int = 1, group: int = 1) -> list[slice]:
    """The rows of a whole batch that are this process's, in `accumulate` parts.

    Rows of a part lie as far apart as there are parts in all, so that groups of rows that are a fixed share of the
    batch apart, as those of minibatch_std, stay whole. group: rows that a part must hold a multiple of.

    Raises:
        InputError: the batch does not split so.
    """
    parts = num_processes() * accumulate
    if batch % (group * parts):
        groups = f" into groups of {group}" if group > 1 else ""
        raise InputError(
            f"A batch of {batch} does not split{groups} in {num_processes()} processes times {accumulate} parts.",
            f"Use a multiple of {group * parts}.",
        )
    return rows_apart(accumulate)


def rows_apart(accumulate: int = 1) -> list[slice]:
    """The rows of any number of them that are this process's, in `accumulate` parts: for a loss that is a sum."""
    parts = num_processes() * accumulate
    return [slice(rank() * accumulate + k, None, parts) for k in range(accumulate)]


def backward_sum(parts: list[slice], loss: Callable[[slice], Tensor]) -> Tensor:
    """The backward pass of a loss that is a sum over rows, of which each process has `parts` (rows_apart) => a value
    whose mean over processes is that sum, as mean_gradients then makes its gradients."""
    found = []
    for rows in parts:
        part = num_processes() * loss(rows)
        part.backward()
        found.append(part.detach())
    return torch.stack(found).sum()


class _Sum(torch.autograd.Function):
    """The sum of x over processes, differentiable: every process's x counts in every process's loss."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        return _Sum.forward(ctx, grads[0].contiguous())


def all_reduce_sum(x: Tensor) -> Tensor:
    """The sum of x over processes, with its gradient: mean_gradients then gives that of the mean of their losses."""
    if not _is_initialized():
        return x
    summed: Tensor = _Sum.apply(x)  # type: ignore[assignment]
    return summed


def whole_batch(x: Tensor, batch: int) -> Tensor:
    """The rows of all processes in their places, differentiable: x [B/n,...], the rows of shares(batch) => [B,...]."""
    if not _is_initialized():
        return x
    rows = torch.zeros(batch, *x.shape[1:], dtype=x.dtype, device=x.device)
    return all_reduce_sum(rows.index_copy(0, torch.arange(batch, device=x.device)[rank() :: num_processes()], x))


def synchronise_batch_norms(module: nn.Module) -> None:
    """In place: every BatchNorm of module takes its statistics from all processes; nothing where there is one."""
    if num_processes() > 1:
        for part in module.modules():
            if type(part) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
                part.forward = partial(_batch_norm, part)  # type: ignore[method-assign]


def _batch_norm(norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    if not norm.training:
        return type(norm).forward(norm, x)
    axes = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1, *[1] * (x.ndim - 2)]
    sums = torch.stack([x.float().sum(axes), x.float().square().sum(axes)])
    count = x.numel() // x.shape[1] * num_processes()
    mean, square = all_reduce_sum(sums) / count
    var = (square - mean.square()).clamp(min=0)
    if norm.track_running_stats and norm.running_mean is not None and norm.running_var is not None:
        norm.num_batches_tracked = None if norm.num_batches_tracked is None else norm.num_batches_tracked + 1
        momentum = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked or 1)
        norm.running_mean.lerp_(mean.detach(), momentum)
        norm.running_var.lerp_(var.detach() * count / max(count - 1, 1), momentum)
    y = (x - mean.view(shape).to(x)) * (var + norm.eps).rsqrt().view(shape).to(x)
    return y if norm.weight is None else y * norm.weight.view(shape).to(x) + norm.bias.view(shape).to(x)


def any_process(flag: bool) -> bool:
    """Whether it is true in any of them; every process gets the same answer."""
    if not _is_initialized():
        return flag
    x = torch.tensor(float(flag), device="cuda" if dist.get_backend() == "nccl" else "cpu")  # NCCL takes no other
    dist.all_reduce(x, dist.ReduceOp.MAX)
    return bool(x.item())


def barrier() -> None:
    """Waits until every process has come here."""
    if _is_initialized():
        dist.barrier()


def rank0_first(function: Callable[[], T]) -> T:
    """function() in rank 0, then in the other processes, which find the files that rank 0 has written."""
    if rank() > 0:
        barrier()
    result = function()
    if rank() == 0:
        barrier()
    return result


def all_reduce_mean(x: Tensor) -> Tensor:
    """The mean of x over processes."""
    if not _is_initialized():
        return x
    x = x.clone()
    dist.all_reduce(x)
    return x / dist.get_world_size()


def mean_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces each gradient by its mean over processes, in one all-reduce."""
    if not _is_initialized():
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = all_reduce_mean(torch.cat([g.reshape(-1) for g in grads]))
    for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(part.view(grad.shape))


def _is_initialized() -> bool:
    return dist.is_available() and dist.is_initialized()
