"""Wrong arguments of the public functions: a sentence of cause and one of remedy, never an error from within."""

from __future__ import annotations

import inspect
import random

import numpy as np
import pytest
import torch

import soundguide_core as sg
from soundguide_core.common.arguments import checks_arguments
from soundguide_core.common.errors import InputError
from soundguide_core.common.types import JointSpace

FUNCTIONS = [name for name in sg.__all__ if inspect.isfunction(getattr(sg, name))]
LOADERS = [name for name in FUNCTIONS if name.startswith("load_")]
ON_A_DEVICE = [name for name in LOADERS if "device" in inspect.signature(getattr(sg, name)).parameters]
NAMES = {name: {"name_or_path": "x"} for name in ("load_identity", "load_sound_video")}  # which have no default
WRONG = [
    3, None, [], {}, b"x", 2.5, object(), "", "x", torch.zeros(2), torch.full((1, 3, 8, 8), float("nan")),
    np.zeros((2, 2)), float("nan"), -1, True, "a\0b", lambda: 0, [None], ["x"], (1, 2),
]  # fmt: skip


def refuses(call: object) -> None:
    with pytest.raises(InputError) as refused:
        call()
    assert refused.value.cause.endswith(".") and refused.value.remedy.endswith(".")


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize(
    "value", [3, [], {}, b"x", 2.5, object(), "", "no such", "a\0b"], ids=lambda value: repr(value)[:9]
)
def test_a_loader_says_what_is_no_name(name: str, value: object) -> None:
    refuses(lambda: getattr(sg, name)(value))


@pytest.mark.parametrize("name", ON_A_DEVICE)
@pytest.mark.parametrize("device", ["hpu", "tpu0", 3.5, 3, None, "cuda:99"])
def test_a_loader_says_what_is_no_device(name: str, device: object) -> None:
    refuses(lambda: getattr(sg, name)(device=device, **NAMES.get(name, {})))


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name not in LOADERS])
def test_random_wrong_arguments_are_refused(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng, function = random.Random(name), getattr(sg, name)
    needed = [each.name for each in inspect.signature(function).parameters.values() if each.default is each.empty]
    for _ in range(60):
        given = {each: rng.choice(WRONG) for each in needed}

        def call(given=given) -> None:
            made = function(**given)
            if inspect.isgenerator(made):
                next(made)

        refuses(call)


def test_hints_decide() -> None:
    @checks_arguments
    def takes(x: torch.Tensor, joint: JointSpace | None = None, name: str = "") -> str:
        return "ran"

    class Tower:
        dim = device = encode_audio = encode_audio_frames = encode_text = encode_image = encode_labels = classify = 0

    assert takes(torch.zeros(1)) == takes(torch.zeros(1), Tower()) == takes(torch.zeros(1), None, 3) == "ran"
    with pytest.raises(InputError, match="given a list as x. It takes: Tensor."):
        takes([1.0])
    with pytest.raises(InputError, match="given a Tensor as joint. It takes: JointSpace."):
        takes(torch.zeros(1), torch.zeros(1))
    with pytest.raises(InputError, match="given a NoneType as x"):
        takes(None)
