"""One training loop for every model: EMA, checkpoints, resuming to the same loss.

A training is an object with step(i); what step i draws depends on the seed, i and the process alone, so a checkpoint
needs no random states. One process needs nothing but torch. Started by `accelerate launch` or torchrun, several
processes share each batch: join() finds the others, mean_gradients() keeps the weights equal, the first one writes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..checkpoints import safetensors_io
from ..common.errors import InputError
from ..common.files import make_folder

OnStep = Callable[[int, int, dict[str, float]], None]
T = TypeVar("T")
STATE = "state.safetensors"


class Training(Protocol):
    """modules hold everything learned (EMA copies and running means too), optimisers their moments, by name."""

    modules: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]

    def step(self, i: int) -> dict[str, float]:
        """Update number i; its losses."""
        ...


def run(
    training: Training,
    steps: int,
    out: Path,
    *,
    resume: bool = False,
    save_every: int = 500,
    on_step: OnStep | None = None,
    on_save: Callable[[int], None] | None = None,
) -> None:
    """Steps from 0, or from the checkpoint in `out` with resume, to `steps`.

    on_step(i, steps, losses) after each; an exception from it ends the run. on_save(i) after each checkpoint.

    Raises:
        InputError: resume without a checkpoint, or one of another configuration.
        FloatingPointError: a loss is no longer a number.
    """
    path = make_folder(out) / STATE
    done = load_state(path, training) if resume else 0
    for i in range(done, steps):
        losses = training.step(i)
        if not all(value - value == 0 for value in losses.values()):
            raise FloatingPointError(f"training diverged at step {i}: {losses}")
        if rank() == 0 and ((i + 1) % save_every == 0 or i + 1 == steps):
            save_state(path, training, i + 1)
            if on_save is not None:
                on_save(i + 1)
        if on_step is not None:
            on_step(i, steps, losses)


def save_state(path: Path, training: Training, done: int) -> None:
    """Everything that the next step needs, in one file, whole or not at all."""
    tensors, settings = {}, {}
    for name, module in training.modules.items():
        tensors |= {f"{name}/{key}": x for key, x in module.state_dict().items()}
    for name, optimiser in training.optimisers.items():
        state = optimiser.state_dict()
        settings[name] = state["param_groups"]
        for index, entries in state["state"].items():
            tensors |= {f"{name}/{index}/{key}": x for key, x in entries.items()}
    safetensors_io.save(path, tensors, {"done": done, "optimisers": settings})


def load_state(path: Path, training: Training) -> int:
    """Fills training from a checkpoint; the number of steps done."""
    if not path.is_file():
        raise InputError(f"There is no checkpoint at {path} to resume from.", "Start without --resume.")
    tensors, config = safetensors_io.load(path)
    if "done" not in config or config.get("optimisers", {}).keys() != training.optimisers.keys():
        raise InputError(f"{path} is not a checkpoint of this training.", "Resume with the recipe that wrote it.")
    for name, module in training.modules.items():
        safetensors_io.fill(module, _within(tensors, name), path)
    for name, optimiser in training.optimisers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, x in _within(tensors, name).items():
            index, entry = key.split("/")
            state.setdefault(int(index), {})[entry] = x
        optimiser.load_state_dict({"state": state, "param_groups": config["optimisers"][name]})
    return config["done"]


def _within(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key[len(name) + 1 :]: x for key, x in tensors.items() if key.startswith(f"{name}/")}


def numbers(losses: dict[str, Tensor]) -> dict[str, float]:
    """Losses for the log, fetched at once: each fetch waits for the device."""
    return dict(zip(losses, torch.stack([value.detach() for value in losses.values()]).tolist(), strict=True))


@torch.no_grad()
def ema_update(average: nn.Module, source: nn.Module, beta: float) -> None:
    """average <- lerp(source, average, beta) over parameters; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(source.parameters()), 1 - beta)
    for a, b in zip(average.buffers(), source.buffers(), strict=True):
        a.copy_(b)


def ema_beta(batch: int, images_seen: int, half_life: float, rampup: float = 0.05) -> float:
    """The decay per step with that half-life in images, shorter at the start: at most rampup * images_seen."""
    half_life = min(half_life, max(images_seen * rampup, 1e-8))
    return 0.5 ** (batch / half_life)


def step_rng(seed: int, i: int, device: str | torch.device = "cpu") -> torch.Generator:
    """The random numbers of step i in this process; those of another device are others."""
    import numpy as np

    state = np.random.SeedSequence([seed, i, rank()]).generate_state(1, np.uint64)[0]
    return torch.Generator(device).manual_seed(int(state) & (2**63 - 1))


def seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """build() with its initial weights drawn from seed, the global generator left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


# ---- several processes


def join(device: str | torch.device = "cpu") -> None:
    """Meets the other processes, where a launcher has started any."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if torch.device(device).type == "cuda" else "gloo")


def rank() -> int:
    """This process's number, 0 for the one that writes."""
    return dist.get_rank() if _several() else 0


def num_processes() -> int:
    return dist.get_world_size() if _several() else 1


def wait() -> None:
    """Until every process is here."""
    if _several():
        dist.barrier()


def first_then_others(make: Callable[[], T]) -> T:
    """make() in the first process, then in the others, which find the files that it left."""
    if rank() > 0:
        wait()
    made = make()
    if rank() == 0:
        wait()
    return made


def mean(x: Tensor) -> Tensor:
    """The mean of x over processes."""
    if not _several():
        return x
    x = x.clone()
    dist.all_reduce(x)
    return x / dist.get_world_size()


def mean_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replaces each gradient by its mean over processes, in one message."""
    if not _several():
        return
    grads = [p.grad for p in parameters if p.grad is not None]
    flat = mean(torch.cat([g.reshape(-1) for g in grads]))
    for grad, part in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
        grad.copy_(part.view(grad.shape))


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()
