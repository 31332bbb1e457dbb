"""A node for the tests' ComfyUI that watches those of the pack from then on, inside the server.

Each of their runs becomes a line of JSON: how long it took, how often it told of its progress, which of its inputs it
changed, what came out (as a digest), and whether PyTorch's modes are as they were. Beside the report may lie a file
".stop", JSON of ids of nodes => after how many seconds each is stopped; how long it went on is written too.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import comfy.model_management as mm
import comfy.utils
import numpy as np
import torch
from comfy_execution.utils import get_executing_context

told: list[float] = []  # when a progress bar was moved, of the node that runs


class Watch:
    """report: the file that lines are added to."""

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"report": ("STRING", {})}}

    RETURN_TYPES = ()
    OUTPUT_NODE = True
    FUNCTION = "watch"
    CATEGORY = "tests"

    def watch(self, report):
        hear_progress()
        for name, node in sys.modules["nodes"].NODE_CLASS_MAPPINGS.items():
            if name.startswith("SoundGuide"):
                node.execute = classmethod(watched(name, node.execute.__func__, Path(report)))
        return ()


def hear_progress() -> None:
    bar = comfy.utils.ProgressBar
    if not hasattr(bar, "heard"):
        bar.heard = bar.update_absolute

        def update_absolute(self, *args, **kwargs):
            told.append(time.monotonic())
            return bar.heard(self, *args, **kwargs)

        bar.update_absolute = update_absolute


def watched(name: str, execute, report: Path):
    def run(cls, *args, **kwargs):
        context = get_executing_context()
        id = context.node_id if context else ""
        before = {key: digest(value) for key, value in kwargs.items()}
        modes = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
        told.clear()
        line: dict[str, Any] = {"id": id, "node": name}
        pressed: list[float] = []
        stop = report.with_suffix(".stop")
        after = json.loads(stop.read_text()).get(id, 1e6) if stop.exists() else 1e6
        timer = threading.Timer(after, press, [pressed])
        began, worked = time.monotonic(), time.process_time()
        timer.start()
        try:
            out = execute(cls, *args, **kwargs)
            line["outputs"] = [digest(value) for value in out.args]
            line["pictures"] = [str(value.dtype) for value in out.args if is_picture(value)]
            return out
        finally:
            timer.cancel()
            ended = time.monotonic()
            line |= {"seconds": ended - began, "cpu": time.process_time() - worked, "told": len(told)}
            line |= {"on": ended - pressed[0] if pressed else None}
            line |= {"changed": [key for key, value in kwargs.items() if digest(value) != before[key]]}
            now = torch.is_inference_mode_enabled(), torch.is_grad_enabled()
            line |= {"modes": now == modes, "training": bool(getattr(mm, "in_training", False))}
            line |= {"asks_for_gradients": [key for key, value in kwargs.items() if asks(value)]}
            with report.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    return run


def press(pressed: list[float]) -> None:
    pressed.append(time.monotonic())
    mm.interrupt_current_processing(True)


def digest(value: Any) -> str:
    made = hashlib.blake2b(digest_size=12)
    for part in parts(value, set()):
        made.update(part)
    return made.hexdigest()


def parts(value: Any, seen: set[int]) -> Iterator[bytes]:
    """The bytes of everything that a value holds: numbers, texts, tensors, weights; no functions, no handles."""
    if isinstance(value, (str, int, float, bool, type(None))):
        yield repr(value).encode()
    elif isinstance(value, torch.Tensor):
        yield f"{value.dtype}{list(value.shape)}".encode()
        yield value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    elif id(value) in seen:
        return
    else:
        seen.add(id(value))
        for inner in held(value):
            yield from parts(inner, seen)


def held(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [x for key, inner in value.items() for x in (str(key), inner)]
    if isinstance(value, (list, tuple)):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, each.name) for each in fields(value)]
    network = weights_of(value)
    if network is not None:  # w_std of a generator is measured when it is first asked for, and kept
        return [{key: weight for key, weight in network.state_dict().items() if not key.endswith("w_std")}]
    return [value.get_components()] if hasattr(value, "get_components") else []


def weights_of(value: Any) -> torch.nn.Module | None:
    """The network of a model of ours (.patcher) or of the host's (.model)."""
    inner = getattr(getattr(value, "patcher", value), "model", value)
    return inner if isinstance(inner, torch.nn.Module) else None


def is_picture(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim == 4 and value.shape[-1] == 3


def asks(value: Any) -> bool:
    network = weights_of(value)
    return network is not None and any(weight.requires_grad for weight in network.parameters())


NODE_CLASS_MAPPINGS = {"TestsWatch": Watch}
