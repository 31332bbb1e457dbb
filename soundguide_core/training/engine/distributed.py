"""Several processes that share each batch, started by `accelerate launch` or torchrun; one process needs no launcher.

Data parallelism as in torch's DistributedDataParallel: every process draws its share of the batch, gradients are
averaged over processes before each update, and so the weights stay equal. Rank 0 writes the files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ...common.memory import tune_malloc

T = TypeVar("T")


def setup_process(device: str | torch.device) -> None:
    """Joins the process group, where there is one, and tunes malloc and cuDNN for steps of one shape, many times."""
    init_distributed(device)
    if torch.device(device).type == "cpu":
        tune_malloc()
    torch.backends.cudnn.benchmark = True


def init_distributed(device: str | torch.device = "cpu") -> None:
    """Joins the process group that a launcher's environment variables describe; nothing where there is none."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.device(device).type == "cuda" else "gloo")


def rank() -> int:
    """This process's number in 0..num_processes() - 1; 0 is the one that writes."""
    return dist.get_rank() if _is_initialized() else 0


def num_processes() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if _is_initialized() else 1


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
