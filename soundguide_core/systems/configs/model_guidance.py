"""Settings of guiding any diffusion model by a sound while it samples."""

from __future__ import annotations

from dataclasses import dataclass

from ...common.settings import check_settings, setting

ESTIMATE, LOOK_AGAIN, MEASURED, THROUGH = "estimate", "look again", "measured", "through"
STEEP, EVEN = RESPONSES = ("steep", "even")  # to a curve: diffusion.guidance.steep
RULES = (ESTIMATE, LOOK_AGAIN, MEASURED, THROUGH)  # of diffusion.rules


@dataclass(frozen=True)
class GuideConfig:
    """How far, by which rule and in which steps a sound moves what a model expects to see."""

    strength: float = setting(
        1.0, "how far each step moves towards the sound; 1 suits pictures from noise", what="The strength", low=0,
        high=1000, offered=(0.0, 20.0), step=0.05,
        tooltip="How far each step moves towards the sound. 1 suits pictures from noise with any rule; more for "
        "image-to-image and few steps, less to keep what the prompt says. 0 changes nothing, to the bit.",
    )  # fmt: skip
    rule: str = setting(
        ESTIMATE, "what becomes of the gradient at the estimate of the clean picture", what="rule", choices=RULES,
        tooltip="estimate: moves what the model expects to see; the cheapest. look again: asks the model once more, of "
        "the moved picture: the most natural changes, one more pass of the model a step. measured: lets the model say "
        "what of the change it would keep; one more pass. through: back through the model itself; needs much memory, "
        "and not every model can.",
    )  # fmt: skip
    start: float = setting(
        0.0, "share of the sampling before which nothing is guided", what="The start", low=0, high=1, step=0.01,
        tooltip="Where in the sampling guiding starts: 0 is pure noise, 1 the finished picture.",
    )  # fmt: skip
    end: float = setting(
        1.0, "share of the sampling after which nothing is guided", what="The end", low=0, high=1, step=0.01,
        tooltip="Where in the sampling guiding ends. .8 leaves the last details to the model.",
    )  # fmt: skip
    every: int = setting(
        1, "guide each n-th step of those", what="The number of steps from one guided step to the next", low=1,
        high=10_000, offered=(1, 100),
        tooltip="Guides each n-th step only; 2 costs half as much.",
    )  # fmt: skip
    warm_up: int = setting(
        18, "looks in the noisiest guided steps, in all, where sampling starts from a picture or video, or keeps one "
        "around a mask; 0 is without", what="The number of looks of the warm-up", low=0, high=1000, offered=(0, 100),
        tooltip="Image to image and inpainting: a source under noise resists. While the first sixth of the noise falls "
        "off, the model is asked so many times more, each time of what the last one gave. Costs as many passes, "
        "however many steps there are; 0 is without. From pure noise there is none.",
    )  # fmt: skip
    response: str = setting(
        STEEP, "how the change answers a curve: steep keeps what is quiet quiet and lets what is loud be seen; even is "
        "in proportion", what="response", choices=RESPONSES,
        tooltip="How the change answers the curve. steep: small values do less than their share, those over a half "
        "almost all, as ears and eyes answer (0.15 moves 0.04, 0.35 moves 0.35, 0.6 moves 0.77). even: in proportion.",
    )  # fmt: skip
    chunk: int = setting(
        4, "pictures, or latent frames of a video, in decoder and encoder at once",
        what="The number of frames in a chunk", low=1, high=100_000, offered=(1, 1024),
        tooltip="Pictures, or latent frames of a video, that are decoded and looked at together: lower takes less "
        "memory. The result is the same.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_settings(self)
