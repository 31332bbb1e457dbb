"""SoundGuide: pictures changed by the meaning of a sound. The public face; everything else loads when it is used."""

from __future__ import annotations

from importlib import import_module

__version__ = "0.2.0"

_HOMES = {
    "InputError": ".common.errors",
    "load_joint": ".embedding.joint",
    "JointEncoder": ".embedding.joint",
    "load_generator": ".generators.loading",
    "load_identity": ".losses.identity",
    "load_perceptual": ".losses.perceptual",
    "load_denoiser": ".diffusion.denoiser",
    "load_flow": ".flow.estimators",
    "MelTrack": ".audio.track",
    "manipulate": ".systems.image_manipulation",
    "mix_embeds": ".embedding.mixing",
    "mix_styles": ".systems.image_manipulation",
    "Manipulation": ".systems.image_manipulation",
    "ManipulationConfig": ".systems.configs.image_manipulation",
    "load_trajectory": ".trajectory.loading",
    "generate_video": ".systems.sound_to_video",
    "stream_video": ".systems.sound_to_video",
    "start_from_text": ".systems.sound_to_video",
    "GeneratedVideo": ".systems.sound_to_video",
    "VideoConfig": ".systems.configs.sound_to_video",
    "load_sound_video": ".trajectory.released",
    "load_video_generator": ".generators.loading",
    "SoundCurve": ".generators.sound_motion",
    "generate_continuous": ".systems.continuous_video",
    "stream_continuous": ".systems.continuous_video",
    "choose_content": ".systems.continuous_content",
    "edit_continuous": ".systems.continuous_content",
    "project_clip": ".systems.continuous_content",
    "sound_curve": ".systems.continuous_video",
    "ContinuousConfig": ".systems.configs.continuous_video",
    "ContinuousEditConfig": ".systems.configs.continuous_video",
    "ContinuousVideo": ".systems.continuous_video",
    "edit_video": ".systems.video_editing",
    "stream_edit": ".systems.video_editing",
    "EditConfig": ".systems.configs.video_editing",
    "EditedVideo": ".systems.video_editing",
    "project": ".latents.projection",
    "Schedule": ".latents.schedule",
    "load_audio": ".audio.waveform",
    "load_image": ".media.images",
    "save_image": ".media.images",
}

# of version 0.1
_OLD_NAMES = {"Sound": "SoundCurve", "sound_of": "sound_curve", "load_styleganv": "load_video_generator"}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> object:
    name = _OLD_NAMES.get(name, name)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    if name.endswith("Config") or name == "Schedule":  # help() says what can be set
        value.__doc__ = import_module(".common.settings", __name__).documented(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
