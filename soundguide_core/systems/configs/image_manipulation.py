"""Settings of sound-guided image manipulation (Lee et al., CVPR 2022), and those that were published."""

from __future__ import annotations

from dataclasses import dataclass

from ...common.settings import Setting, check_settings, config, seed_setting, setting
from ...latents.schedule import Schedule

SAMPLED, PAPER, RELEASED = "sampled", "paper", "released"
VARIANTS = (SAMPLED, PAPER, RELEASED)
SPACES = ("w", "w+")

# For landscapes. The paper does not print its steps and rate: those of the released code's defaults and of its README.
AS_PUBLISHED = {"space": "w+", "samples": 0, "crops": 0, "similarity": 0.002, "identity": 0.0}
VARIANT_DEFAULTS = {
    PAPER: {**AS_PUBLISHED, "layer_masking": True, "schedule": Schedule(300, 0.05)},
    RELEASED: {**AS_PUBLISHED, "layer_masking": False, "schedule": Schedule(300, 0.10)},
}


# what the article and the released code take for faces (FFHQ) and for scenes (LSUN, landscapes)
PRESETS = {
    "ffhq-paper": {"variant": PAPER, "similarity": 0.008, "identity": 0.004},
    "lsun-paper": {"variant": PAPER},
    "ffhq-code": {"variant": RELEASED, "similarity": 0.008, "identity": 0.005, "schedule": Schedule(300, 0.05)},
    "landscape-code": {"variant": RELEASED},
}


@config(VARIANT_DEFAULTS, presets=PRESETS)
@dataclass(frozen=True)
class ManipulationConfig:
    """Weights and schedule of L_man = d_cos + identity L_ID + similarity || g . (w_a - w_s) ||^2.

    variant: "sampled" is ours and the default: it starts at the mean direction of sampled pictures, moves all layers
    alike and compares augmented crops too. "paper" and "released" name the defaults of the published article and of the
    released code, for landscapes; PRESETS has those for faces. "released" also scales the cosine term by exp(0.07),
    updates its mask by a hand-written rule and returns the picture before the last step.
    """

    variant: str = setting(
        SAMPLED, "ours, as published, or as the authors' code does it", what="variant", choices=VARIANTS,
        tooltip="Formulas. paper: as published. released: as the authors' code does it, for comparison. The settings "
        "stay as they are set here; 'preset' selects the published ones.",
    )  # fmt: skip
    similarity: float = setting(
        0.002, "pull towards the source, lambda_sim; more changes less", what="The weight of the source term", low=0,
        offered=(0.0, 1.0), step=0.001, socket="keep_source",
        tooltip="How strongly the picture holds on to what it was (lambda_sim). 0.002 suits landscapes, 0.008 faces.",
    )  # fmt: skip
    identity: float = setting(
        0.0, "weight of the face's identity, lambda_ID; needs a face recogniser",
        what="The weight of the identity term", low=0, offered=(0.0, 1.0), step=0.001, socket="keep_identity",
        option="identity-weight",
        tooltip="How strongly a face stays the same person's (lambda_ID), where a recogniser is connected to "
        "'identity'. The article takes 0.004, its code 0.005.",
    )  # fmt: skip
    layer_masking: bool = setting(
        True, "each layer learns how much it holds on to the source", what="Adaptive layer masking",
        socket="adaptive_layers",
        tooltip="Let each layer of the generator find out how much it has to hold on (the paper's adaptive layer "
        "masking).",
    )  # fmt: skip
    mask_lr: float = setting(
        0.02, "learning rate of the adaptive layer mask", what="The learning rate of the layer mask", low=0
    )
    space: str = setting(
        "w", "layers move alike (w), or each by itself (w+, as published)", what="space", choices=SPACES,
        tooltip="w: all layers move together, which keeps to pictures that the generator knows. w+: each layer by "
        "itself, as published: goes further, and may fall apart.",
    )  # fmt: skip
    samples: int = setting(
        256, "random pictures that show the way to the meaning before the steps begin; 0 as published",
        what="The number of samples", low=0, high=100_000, offered=(0, 4096),
        tooltip="Random pictures of the generator that show the way to the meaning before the steps begin. Each costs "
        "one rendering; 0 as published.",
    )  # fmt: skip
    crops: int = setting(
        1, "augmented views that are compared with the sound beside the whole; 0 as published",
        what="The number of crops", low=0, high=64,
        tooltip="Views of the picture that are compared with the sound beside the whole, against changes that please "
        "only the encoder. Each costs one look of the encoder in every step; 0 as published.",
    )  # fmt: skip
    strength: float = setting(
        1.0, "how much of the change that was found is made: 0 nothing, 1 all, more goes beyond", what="The strength",
        low=0, high=4, step=0.05,
        tooltip="How much of the change that was found is made: 0 leaves the picture, 1 makes it, 1.5 goes beyond.",
    )  # fmt: skip
    seed: int = seed_setting("of the augmented views", tooltip="Of these views.")
    schedule: Schedule = setting(  # noqa: RUF009
        Schedule(steps=10, lr=0.0015), "steps and learning rate", what="The schedule",
        parts={
            "steps": Setting(
                "optimisation steps; more change more", what="The number of steps", low=1, high=1_000_000,
                offered=(1, 5000),
                tooltip="Steps of change. Time grows in proportion: 10 take a second or so a picture on two CPU cores "
                "with the miniature.",
            ),
            "lr": Setting(
                "learning rate: how far one step goes, at most", what="The learning rate", low=0,
                offered=(0.0005, 1.0), step=0.0005, socket="step_size", option="step-size",
                tooltip="How far one step goes, at most. Small steps stay near the start that the samples give; the "
                "published way, without samples, wants 0.05 to 0.1.",
            ),
        },
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_settings(self)


PUBLISHED = {name: ManipulationConfig(**values) for name, values in PRESETS.items()}
