"""Settings of Soundini, sound-guided diffusion video editing (S. H. Lee et al. 2023), and those that were published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...common.errors import check_whole
from ...common.settings import Former, Setting, check_settings, config, seed_setting, setting

SCORE, PAPER, CLEAN, RELEASED = "score", "paper", "clean", "released"
ESTIMATE, LOOK_AGAIN = "estimate", "look again"  # rules of diffusion.rules
VARIANTS = (SCORE, PAPER, CLEAN, RELEASED, ESTIMATE, LOOK_AGAIN)
SAMPLERS = ("ddpm", "ddim", "dpm-solver")  # of diffusion.sampler
AUTO, FLOAT32, BFLOAT16 = PRECISIONS = ("auto", "float32", "bfloat16")
OUTSIDE_MASK = ("source", "grey")
FLOW_ON = ("source", "estimate")
PER_FRAME, PER_PAIR = ("sound", "background", "perceptual", "range"), ("direction", "flow")
TERMS = PER_FRAME + PER_PAIR


def _weight(name: str, help: str, **known) -> Setting:
    return Setting(help, what=f"The weight of {name}", low=0, offered=(0.0, 100.0), step=0.1, **known)


WEIGHTS = {
    "sound": _weight("sound", "frames mean what is heard, lambda_SG"),
    "flow": _weight(
        "flow", "frames agree along the movement, lambda_flow", socket="follow_movement",
        tooltip="How strongly the frames must agree along the movement (lambda_flow): higher flickers less. 0 does "
        "without, and spares the search for the movement.",
    ),
    "background": _weight(
        "background", "what surrounds the mask stays at the source, lambda_back", socket="keep_background",
        tooltip="Pull of what surrounds the mask towards the source while it paints (lambda_back). The finished frames "
        "have the source there in any case.",
    ),
    "direction": _weight(
        "direction", "changes between frames mean what changes in the sound, lambda_DSG", socket="follow_changes",
        tooltip="How strongly changes between frames must mean what changes in the sound (lambda_DSG). Needs embeds "
        "per frame.",
    ),
    "perceptual": _weight("perceptual", "LPIPS of what surrounds the mask"),
    "range": _weight("range", "the clean estimate stays within -1..1"),
}  # fmt: skip


CONSTANT, SONES, DECIBELS = "constant", "sones", "decibels"
LOUDNESS_LAWS = (SONES, DECIBELS, CONSTANT)


@dataclass(frozen=True)
class LeadConfig:
    """How far the sound leads: strength times how loud it is at each frame, by a law of loudness."""

    strength: float = setting(
        1.0, "how far the sound leads", what="The strength", low=0, high=1e6, offered=(0.0, 100.0), step=0.05,
        tooltip="How far the sound leads: 0 leaves only what the diffusion model does by itself.",
    )  # fmt: skip
    loudness: str = setting(
        SONES, "how the strength follows the loudness: as loud as it seems, in decibels, or not",
        what="law of loudness", choices=LOUDNESS_LAWS,
        tooltip="Whether the strength follows how loud the sound is at each frame. constant: not. sones: as loud as it "
        "seems, half for 10 dB less. decibels: evenly over the 60 below the loudest. Needs embeds per frame.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_settings(self)


# The paper does not print its lambdas, steps and augmentations: those of the released code, and for lambda_DSG, whose
# term the code lacks, that of the sound. The code's terms of the background are off unless they are asked for.
AS_PUBLISHED = {
    "sampler": "ddpm", "steps": 100, "skip": 0, "scale": 1.0, "crops": 7, "outside_mask": "grey",
    "flow_on": "estimate", "smooth_sec": 0.0, "shared_noise": False, "feather": 0, "precision": FLOAT32,
    "finish": 0,
}  # fmt: skip
VARIANT_DEFAULTS = {
    PAPER: {
        **AS_PUBLISHED,
        "interval": (0.0, 1.0),
        "weights": {"sound": 1000.0, "direction": 1000.0, "flow": 5000.0, "background": 100.0, "perceptual": 100.0},
    },
    RELEASED: {
        **AS_PUBLISHED,
        "interval": (0.02, 1.0),  # the estimate of the last step, which is what the code saves, is not guided
        "weights": {"sound": 1000.0, "flow": 5000.0, "range": 50.0},
    },
}


# at the 24 frames a second of a film: how many frames a second are edited was not known to it
IN_FRAMES = Former("smooth_sec", lambda frames: frames / 24)


@config(
    VARIANT_DEFAULTS, renamed={"surroundings": "outside_mask", "steady": IN_FRAMES, "smooth_frames": IN_FRAMES}
)
@dataclass(frozen=True)
class EditConfig:
    """How a video is edited. The sampling goes `steps` of the way from noise to picture but for the first `skip`.

    variant: "score" is ours and the default: the gradient through the UNet shifts the score. "clean" is ours too: the
    gradient is taken at the clean estimate, which costs no way back through the UNet but shows less. So are "estimate"
    and "look again", the rules of that name (diffusion/rules.py) after a warm-up (diffusion/warm_up.py), with lengths
    that are the same in small masks and large ones. "paper" and "released" name the defaults of the article and of its
    released code, and shift the mean of a step; "released" has the code's terms as well (losses/released_editing.py).
    weights: lambdas, of TERMS; a term with weight 0 is not computed.
    """

    variant: str = setting(
        SCORE, "ours on the score; the article or its code, with their settings; ours at the clean estimate, faster: "
        "clean, estimate and look again",
        what="variant", choices=VARIANTS,
        tooltip="score: steers through the network, on its score. paper: the same on the mean of a step, as published. "
        "clean: steers the estimate of the finished picture, the fastest; shows less. released: as the authors' code "
        "does it. estimate: like clean, after a warm-up, and as strong in a small mask as in a large one. look again: "
        "the same, asking the network about each change. The settings stay as they are set here; 'preset' selects the "
        "published ones.",
    )  # fmt: skip
    sampler: str = setting(
        "ddpm", "with fresh noise in every step as published (ddpm), or none", what="sampler", choices=SAMPLERS,
        tooltip="ddpm: as published, with fresh noise in every step. ddim and dpm-solver: without, and with fewer "
        "steps.",
    )  # fmt: skip
    steps: int = setting(
        20, "diffusion steps from noise to picture; time grows in proportion", what="The number of steps", low=1,
        high=10_000, offered=(2, 1000),
        tooltip="Steps of the whole way from noise to picture; time grows in proportion. The miniature takes about a "
        "second a frame for 20 of them on a CPU.",
    )  # fmt: skip
    skip: int = setting(
        1, "the first of them left out; the more, the nearer to the video", what="The number of steps to skip", low=0,
        high=9_999, offered=(0, 999),
        tooltip="Steps left out at the noisy end: more is nearer to the source, and faster.",
    )  # fmt: skip
    finish: int = setting(
        3, "steps, at most, below the guidance interval, where nothing leads any more; 0 for as many as elsewhere",
        what="The number of finishing steps", low=0, high=9_999,
    )  # fmt: skip
    size: int = setting(
        0, "pixels along the shorter side in the model; 0 as it was trained", what="The size in the model", low=0,
        high=100_000, offered=(0, 4096), step=8,
        tooltip="Pixels along the shorter side in the model; 0 takes those that it was trained on. Double takes four "
        "times as long.",
    )  # fmt: skip
    interval: tuple[float, float] = setting(
        (0.4, 1.0), "lowest and highest noise sqrt(1 - alpha_bar_t) at which is guided",
        what="The guidance interval", low=0, high=1,
    )  # fmt: skip
    weights: Mapping[str, float] = setting(
        {"sound": 1.0, "flow": 0.5}, f"weight of a term: {', '.join(TERMS)}; may be repeated", what="term",
        option="weight", parts=WEIGHTS,
    )  # fmt: skip
    smooth_sec: float = setting(
        1.5, "seconds before and after each frame over which what is heard is averaged, but not how loud it is",
        what="The smoothing in seconds", low=0, high=600,
    )  # fmt: skip
    scale: float = setting(
        20_000.0, "what all weights are multiplied by, where the guidance goes through the UNet",
        what="The scale of the weights", low=0,
    )  # fmt: skip
    length: float = setting(
        0.3, "estimate and look again only: how far the sound moves a frame in one step, root mean square inside the "
        "mask, as a share of the noise", what="The length of a step", low=0, high=10,
    )  # fmt: skip
    warm_up: int = setting(
        18, "estimate and look again only: how often is looked again in the noisiest steps, in all; 0 is without a "
        "warm-up", what="The number of looks of the warm-up", low=0, high=1000,
    )  # fmt: skip
    step: float = setting(
        1.5, "clean only: how far the sound moves the clean estimate in one step, root mean square, as a share of the "
        "noise", what="The step", low=0, high=10,
    )  # fmt: skip
    crops: int = setting(
        0, "augmented views of a frame that are compared with the sound beside the whole",
        what="The number of crops", low=0, high=64,
        tooltip="Views of each frame that are compared with the sound beside the whole, against changes that please "
        "only the encoder. Each costs one look of the encoder in every step.",
    )  # fmt: skip
    outside_mask: str = setting(
        "source", "what the encoder sees around the mask: grey as published, or the source frame",
        what="choice of what is outside the mask", choices=OUTSIDE_MASK, socket="surroundings",
        tooltip="What the encoder sees around the mask: the source, or grey, as published.",
    )  # fmt: skip
    flow_on: str = setting(
        "source", "whose movement is followed: the source video's, or the clean estimate's as published",
        what="choice of flow", choices=FLOW_ON,
    )  # fmt: skip
    shared_noise: bool = setting(True, "one noise for all frames in every step, not only at the start")
    walk_sec: float = setting(
        0.0, "seconds in which the noise that frames share becomes another one, so that what is painted moves; 0: "
        "it stays", what="The walk of the noise", low=0, high=3600,
    )  # fmt: skip
    window: int = setting(
        16, "frames edited together; memory grows in proportion", what="The number of frames in a window", low=1,
        high=100_000, offered=(1, 1024),
        tooltip="Frames that are edited together; the next window goes on from the last. Memory grows in proportion, "
        "time does not.",
    )  # fmt: skip
    chunk: int = setting(
        8, "of these in the networks at once", what="The number of frames in a chunk", low=1, high=100_000,
        offered=(1, 1024), tooltip="Frames in the networks at once: lower takes less memory.",
    )  # fmt: skip
    precision: str = setting(
        AUTO, "of the diffusion model; auto: bfloat16 where the processor has it, a third faster, else float32",
        what="precision", choices=PRECISIONS,
    )  # fmt: skip
    feather: int = setting(
        0, "pixels over which an edit fades in from the mask's border inwards", what="The feather", low=0, high=10_000,
        offered=(0, 1024), tooltip="Pixels over which the edit fades in from the mask's border inwards.",
    )  # fmt: skip
    keep_detail: float = setting(
        1.0, "how much of the source's contrast shows where it was painted over, in a video larger than the model",
        what="The share of detail", low=0, high=1, step=0.05,
        tooltip="How much of the source's contrast shows where it was painted over, in a video that is larger than the "
        "model paints. 0: as the model painted it, as coarse as that is.",
    )  # fmt: skip
    invert: bool = setting(
        False, "edit what is outside the mask", option="invert-mask", socket="invert_mask",
        tooltip="Edit where the mask is 0.",
    )  # fmt: skip
    seed: int = seed_setting("of the noise", tooltip="Of the noise; the same seed gives the same video.")

    def __post_init__(self) -> None:
        check_settings(self)
        check_whole(self.skip, "The number of steps to skip", low=0, high=self.steps - 1)
