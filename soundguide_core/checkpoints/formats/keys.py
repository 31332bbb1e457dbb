"""Strict key maps: every tensor of a foreign file is moved or known to be unused, or the file is refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ...common.errors import InputError
from ..pickles.numbers import is_tensor

if TYPE_CHECKING:
    from torch import Tensor

# what people save around a state dict
WRAPPERS = ("state_dict", "model_state_dict", "model", "params_ema", "ema", "params")
NOT_AVERAGED = (
    "The file holds the generator as it was trained, not the average of its weights: pictures are somewhat worse."
)
OPENAI_B_32 = "OpenAI CLIP ViT-B/32"  # the space that the published sound encoders were trained into
MODULES = re.compile(r"(?<![^.])(module|_orig_mod|_forward_module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")

Found = TypeVar("Found")


def recognised(found: Found | None) -> Found:
    """What a layout found in content that it recognises, so that it is there."""
    assert found is not None
    return found


def all_close(found: Sequence[float], expected: Sequence[float], *, rel: float, absolute: float) -> bool:
    """Whether as many numbers were found as expected, each as near as PyTorch's allclose asks."""
    pairs = zip(found, expected)
    return len(found) == len(expected) and all(abs(a - b) <= absolute + rel * abs(b) for a, b in pairs)


def flat_tensors(content) -> dict[str, Tensor] | None:
    """The state dict that content is or wraps, without the names of wrappers of modules; None if neither."""
    if not isinstance(content, dict):
        return None
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if not content or not all(isinstance(k, str) and is_tensor(x) for k, x in content.items()):
        return None
    return without_wrappers(content)


def without_wrappers(state: dict) -> dict:
    """A state dict without what DataParallel, torch.compile, FSDP and averaging put into its keys."""
    counted = {key: x for key, x in state.items() if key != "n_averaged"}  # of torch.optim.swa_utils.AveragedModel
    bare = {MODULES.sub("", key): x for key, x in counted.items()}
    return bare if len(bare) == len(counted) else state


class Keys:
    """What is left of a foreign state dict, and what has been made of it."""

    def __init__(self, state: dict[str, Tensor], name: str) -> None:
        self.left = dict(state)
        self.made: dict[str, Tensor] = {}
        self.name = name

    def __contains__(self, key: str) -> bool:
        return key in self.left

    def take(self, key: str) -> Tensor:
        """Take a tensor out; InputError if the file lacks it."""
        if key not in self.left:
            raise InputError(f"This {self.name} lacks {key}.", "Download the file again, or choose another version.")
        return self.left.pop(key)

    def put(self, key: str, x: Tensor) -> None:
        self.made[key] = x

    def move(self, theirs: str, ours: str) -> None:
        self.put(ours, self.take(theirs))

    def keep(self, pattern: str) -> None:
        """Move every tensor whose whole name fits, under its own name."""
        for key in [key for key in self.left if re.fullmatch(pattern, key)]:
            self.move(key, key)

    def rename(self, pattern: str, ours: Callable[[re.Match], str]) -> None:
        """Give every tensor whose whole name fits another name, before it is moved."""
        self.left = {ours(found) if (found := re.fullmatch(pattern, key)) else key: x for key, x in self.left.items()}

    def drop(self, *keys: str) -> None:
        """Forget tensors that are known not to be needed; they may be absent."""
        for key in keys:
            self.left.pop(key, None)

    def finish(self) -> dict[str, Tensor]:
        """All that was made; InputError naming the first tensor that nobody asked for."""
        if self.left:
            raise InputError(
                f"This looks like a {self.name}, but {min(self.left)} does not belong to one.",
                "It may be a variant that SoundGuide does not know; please report it with the file's source.",
            )
        return self.made
