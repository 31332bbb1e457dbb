"""What a recipe of sound-guided video generation says: its networks, its stages, their terms, how fast it learns."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import nn

from ..audio.mel import MelSpec
from ..common.errors import InputError
from ..common.rng import with_seed
from ..generators.temporal_discriminator import TemporalDiscriminatorConfig
from ..trajectory.trajectory import Trajectory, TrajectoryConfig, load_trajectory
from .engine.schedules import linear_decay

TERMS = (
    "latents", "kinds", "pixels", "perceptual", "features", "changes", "sound", "text", "codes", "layers", "image",
    "video",
)  # fmt: skip
LATENT_TERMS = {"latents", "kinds", "codes", "layers"}  # which need no pictures
UNLIKELY = 2.0  # nats below the mean kind: where what is none of them begins


@dataclass(frozen=True)
class Stage:
    """A part of the run.

    frames, before: of each window, those that are judged and the steps of the path before them; 0 frames: all that
    there are. path: off, E_a learns alone and its codes are judged as they are. weights: by TERMS; 0 or absent leaves
    a term out. rate: factor on the learning rates. trunk_lr: on that of E_a's trunk, which has learned to hear before.
    hearing: off, all that tells kinds of sound apart stays as it is.
    """

    steps: int
    batch: int
    frames: int
    weights: dict[str, float]
    before: int = 0
    path: bool = True
    rate: float = 1.0
    trunk_lr: float = 0.0
    hearing: bool = True

    def __post_init__(self) -> None:
        if not self.hearing and "kinds" in self.terms:
            raise InputError("A stage without hearing cannot learn kinds.", "Leave that term out, or hearing on.")
        odd = sorted(self.weights.keys() - set(TERMS))
        if odd:
            raise InputError(f"There is no term {odd[0]!r} to weigh.", f"Use {', '.join(TERMS)}.")

    @property
    def terms(self) -> dict[str, float]:
        return {name: weight for name, weight in self.weights.items() if weight}

    @property
    def pictures(self) -> bool:
        """Whether any of its terms looks at pictures."""
        return bool(self.terms.keys() - LATENT_TERMS)


@dataclass(frozen=True)
class Settings:
    """How long and how.

    psi: the smallest truncation of source pictures. calm: share of sources in which nothing goes on. jitter: of
    sources, in standard deviations of w, layer by layer. eq_db: how much other microphones differ
    (audio/augment.response). kept: share of the weights that it began with in those that are written (M. Wortsman et
    al., "Robust Fine-Tuning of Zero-Shot Models", CVPR 2022). none_bias: nats by which what is none of the kinds is
    made likelier in them. discriminators: of single frames and of videos.
    """

    stages: tuple[Stage, ...]
    image_discriminator: TemporalDiscriminatorConfig
    video_discriminator: TemporalDiscriminatorConfig
    lr: float = 1e-3
    discriminator_lr: float = 1e-3
    anneal: float = 0.4  # last share of each stage over which the rates fall to a twentieth
    r1_gamma: float = 1.0
    r1_every: int = 8
    psi: float = 0.5
    calm: float = 0.4
    jitter: float = 0.15
    eq_db: float = 0.0
    ema: float = 0.995
    dtype: str = "float32"
    kept: float = 0.0
    none_bias: float = 0.0
    save_every: int = 200

    @property
    def steps(self) -> int:
        return sum(stage.steps for stage in self.stages)

    def stage_at(self, i: int) -> Stage:
        return self._at(i)[0]

    def rate(self, i: int) -> float:
        """Factor on the learning rates at step i."""
        stage, done = self._at(i)
        return stage.rate * linear_decay(done, stage.steps, self.anneal, last=0.05)

    def _at(self, i: int) -> tuple[Stage, int]:
        """The stage of step i, and its number in there."""
        for stage in self.stages:
            if i < stage.steps:
                break
            i -= stage.steps
        return stage, i

    @classmethod
    def from_dict(cls, table: dict) -> Settings:
        """A recipe's [training]. For ablations: shares, of each stage's steps, at 0 there is none; without, terms to
        leave out."""
        table = dict(table)
        shares, without = table.pop("shares", None), set(table.pop("without", ()))
        try:
            for name in ("image_discriminator", "video_discriminator"):
                sizes = dict(table[name])
                table[name] = TemporalDiscriminatorConfig(**{**sizes, "channels": tuple(sizes["channels"])})
            stages = [Stage(**stage) for stage in table["stages"]]
            shares = [1.0] * len(stages) if shares is None else shares
            if len(shares) != len(stages):
                raise InputError(f"{len(shares)} shares are not {len(stages)} stages'.", "Give one for each stage.")
            table["stages"] = tuple(
                replace(
                    stage,
                    steps=max(round(stage.steps * share), 1),
                    weights={name: weight for name, weight in stage.weights.items() if name not in without},
                )
                for stage, share in zip(stages, shares)
                if share
            )
            return cls(**table)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"The recipe's [training] does not fit ({error}).", "Start from the shipped one."
            ) from error


def new_trajectory(
    table: dict, generator, joint, seed: int, inversion: str | None = None, begin: str | None = None
) -> Trajectory:
    """By the recipe's [trajectory]. An E_a without a trunk of its own begins with the ears of the joint encoder.

    frame_columns: of the segments, where they are not those of the joint encoder. inversion: the name or path of a
    trajectory with whose E_a it begins. begin: of one with all of whose weights it begins; what is none of its kinds
    it may learn to tell anew.
    """
    sizes = dict(table)
    encoder = {"architecture": "kinds", **sizes.pop("encoder", {})}
    spec = MelSpec.from_dict(sizes.pop("mel")) if "mel" in sizes else joint.spec
    kinds = encoder["architecture"] == "kinds"
    ears = kinds and "trunk" not in encoder
    if not isinstance(spec, MelSpec) or (ears and not isinstance(joint.spec, MelSpec)):
        raise InputError(
            "This joint encoder hears samples, not mels.", "Give [trajectory.mel] and [trajectory.encoder.trunk]."
        )
    spec = replace(spec, frame_columns=sizes.pop("frame_columns", spec.frame_columns))
    if ears:
        encoder["trunk"] = joint.sound.to_config()
    if kinds:
        encoder["top_db"] = spec.top_db
        encoder["even_below"] = 1000 / spec.sample_rate  # mel bands are so below 1 kHz
    config = TrajectoryConfig(num_ws=generator.num_ws, w_dim=generator.w_dim, encoder=encoder, **sizes)
    trajectory = with_seed(seed, lambda: Trajectory(config, spec))
    trajectory.measure(generator)
    if ears:
        assert trajectory.encoder.events is not None
        trajectory.encoder.events.take_trunk(joint.sound)
    if inversion is not None:
        _take(trajectory.encoder, load_trajectory(inversion).encoder, inversion)
    if begin is not None:
        _take(trajectory, load_trajectory(begin), begin)
    return trajectory


@torch.no_grad()
def softened(learned: Trajectory, began: dict[str, torch.Tensor], settings: Settings) -> Trajectory:
    """A copy of what was learned, with settings.kept of the weights that it began with, and with settings.none_bias;
    the entry for none of the kinds, which is new, is all learned."""
    network = copy.deepcopy(learned)
    events = network.events
    told = events is not None and network.encoder.to_dict().get("none", 0)
    for key, x in network.state_dict().items():
        if x.is_floating_point():
            rows = slice(None, -1) if told and ".out_proj." in key and ".events." in key else slice(None)
            x[rows].lerp_(began[key][rows].to(x), settings.kept)
    if told and events is not None and events.out_proj.bias is not None:
        events.out_proj.bias[-1] += settings.none_bias
    return network


def _take(network: nn.Module, learned: nn.Module, name: str) -> None:
    """The weights of another of the same sizes; its kinds may be one fewer, which is unlikely then."""
    tensors, own = learned.state_dict(), network.state_dict()
    for key in (key for key in own if key.endswith(("events.out_proj.weight", "events.out_proj.bias"))):
        if key in tensors and len(own[key]) == len(tensors[key]) + 1 and own[key].shape[1:] == tensors[key].shape[1:]:
            none = tensors[key].mean(dim=0, keepdim=True) - (UNLIKELY if key.endswith("bias") else 0)
            tensors[key] = torch.cat([tensors[key], none])
    if {key: x.shape for key, x in tensors.items()} != {key: x.shape for key, x in own.items()}:
        raise InputError(
            f"What the recipe begins with, {name}, has other sizes than its [trajectory].",
            "Give the recipe those it was trained with.",
        )
    network.load_state_dict(tensors)
