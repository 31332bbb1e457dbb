"""A graph of every node of the pack, on untrained models, and the settings that they have in it."""

from __future__ import annotations


def node(kind: str, **inputs) -> dict:
    return {"class_type": f"SoundGuide{kind}", "inputs": inputs}


SOUND = dict(phenomenon="rain", seconds=1.0, intensity=0.8, course="natural", seed=0)
CHANGE = dict(steps=3, step_size=0.1, keep_source=0.002, adaptive_layers=True, variant="paper", crops=2, seed=0)
CHANGE |= dict(space="w+", samples=20)
FIND = dict(steps=2, step_size=0.1, stay_editable=0.003, candidates=16, seed=0)
MIX = dict(weight_1=1.0, weight_2=1.0, weight_3=1.0, weight_4=1.0)
CURVE = dict(curve="onset", fps=12.0, num_frames=7, low=1.0, high=0.0, smoothing=0.2)
SHAPE = dict(fps=12.0, gate="cut", threshold=0.2, division="every 2nd", attack=0.1, hold=0.1, release=0.5, low=0.0)
SHAPE |= dict(high=1.0, easing="ease in", invert=False, frame=3, width=64, height=64, keyframe_format="0:(0.5)")
SHAPE |= dict(frames_per_latent="1 (pictures, AnimateDiff)", normalise=True)
TELL = dict(base_prompt="a bay", negative_prompt="blurry", fps=12.0, num_frames=0, strength=1.0, most=2)
TELL |= dict(loudness="sones", floor=0.1, scale=True, blend="all that is heard", smoothing=0.2, hold=0.2)
TELL |= dict(negative_words="also what is not heard", schedule_format="json")
SAMPLE = dict(seed=0, steps=2, cfg=2.0, sampler_name="euler", scheduler="simple", denoise=1.0)
WALK = dict(strength=1.0, smoothing=0.2, noise=True, seed=0)
CONTINUOUS = dict(seed=0, motion_seed=0, fps=4.0, seconds=0.0, psi=0.8, loop=False, drive="auto", strength=1.0)
CONTINUOUS |= dict(feature="loudness", chunk=3)
FILM = dict(seed=1, phenomenon="calm", intensity=0.0, size=32, num_frames=12, fps=12.0)
EDIT = dict(strength=1.0, steps=3, skip=1, seed=0, also_weight=1.0, follow_movement=1.0, keep_background=0.1)
EDIT |= dict(
    follow_changes=0.1, variant="clean", sampler="ddpm", surroundings="grey", crops=1, feather=1, invert_mask=True
)
EDIT |= dict(window=5, chunk=2, size=0)
GUIDE = dict(strength=1.0, rule="look again", start=0.0, end=1.0, every=1, chunk=1, warm_up=0, response="even")
SAY = dict(words="rain, a brass band", vocabulary="birds", table="AudioSet", smoothing=0.5, hold=0.25)
HEAR = dict(fps=12.0, num_frames=0, per_frame=False, words="rain, wind")


ELSEWHERE = {  # nodes that cannot be in it
    "SoundGuideLoadFoundPicture",  # lists what a run has kept: test_workflows_run.py
    "SoundGuideLivePage",  # waits for a person: test_live_page.py
}


def tiny_prompt() -> dict:
    """Every node of the pack, on untrained models."""
    return {
        "G": node("LoadStyleGAN", name="tiny.safetensors"),
        "J": node("LoadJointEncoder", name="tiny"),
        "sound": node("ExampleSound", **SOUND),
        "scene": node("ExampleScene", seed=1, phenomenon="calm", intensity=0.0, size=64),
        "hear": node("AudioEncode", encoder=["J", 0], audio=["sound", 0], **{**HEAR, "per_frame": True}),
        "ears": node("LoadSoundClassifier", name="tiny"),
        "say": node("HearWords", ears=["ears", 0], audio=["sound", 0], **SAY),
        "see_said": {"class_type": "PreviewAny", "inputs": {"source": ["say", 3]}},
        "see_timeline": {"class_type": "PreviewImage", "inputs": {"images": ["say", 1]}},
        "text": node("TextEncode", encoder=["J", 0], text="a storm"),
        "see": node("ImageEncode", encoder=["J", 0], image=["scene", 0]),
        "mix": node("MixEmbeds", embeds_1=["hear", 0], embeds_2=["text", 0], embeds_4=["see", 0], **MIX),
        "curve": node("SoundSchedule", audio=["sound", 0], **CURVE),
        "shape": node("CurveShape", values=["curve", 0], audio=["sound", 0], **SHAPE),
        "words": node("WordsOnACurve", texts="calm sea\nstorm", curve=["shape", 0], fps=12.0),
        "tiny": {"class_type": "TestsTinyModel", "inputs": {"family": "SD1.5"}},
        "noise": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 7}},
        "regions": node("SoundRegions", words_1=["words", 0], mask_1=["mask", 0]),
        "vision": {"class_type": "TestsTinyVision", "inputs": {"encoder": ["J", 0]}},
        "lend": node("SoundToImageEmbeds", encoder=["J", 0], embeds=["hear", 0], clip_vision=["vision", 0]),
        "unclip": {"class_type": "unCLIPConditioning", "inputs": {
            "conditioning": ["tell", 0], "clip_vision_output": ["lend", 2], "strength": 1.0, "noise_augmentation": 0.0,
        }},
        "see_unclip": {"class_type": "PreviewAny", "inputs": {"source": ["unclip", 0]}},
        "see_rows": {"class_type": "PreviewAny", "inputs": {"source": ["lend", 3]}},
        "tell": node(
            "SoundPrompt", clip=["tiny", 1], words=["regions", 0], audio=["sound", 0], latent=["noise", 0], **TELL
        ),
        "paint": {"class_type": "KSampler", "inputs": {
            "model": ["tiny", 0], "positive": ["tell", 0], "negative": ["tell", 1], "latent_image": ["noise", 0],
            **SAMPLE,
        }},
        "tiny_wan": {"class_type": "TestsTinyModel", "inputs": {"family": "Wan 2.1"}},
        "over_time": node("PromptOverTime", model=["tiny_wan", 0], clip=["tiny_wan", 1], prompts=["tell", 2],
                          method="auto"),
        "see_how": {"class_type": "PreviewAny", "inputs": {"source": ["over_time", 2]}},
        "see_painted": {"class_type": "PreviewAny", "inputs": {"source": ["paint", 0]}},
        "see_told": {"class_type": "PreviewImage", "inputs": {"images": ["tell", 4]}},
        "see_schedule": {"class_type": "PreviewAny", "inputs": {"source": ["tell", 3]}},
        "draw": node("SampleLatents", generator=["G", 0], seed=2**32 - 1, batch_size=2, psi=0.7),
        "find": node("InvertImage", generator=["G", 0], image=["scene", 0], encoder=["J", 0], **FIND),
        "styles": node("MixStyles", base=["draw", 0], donor=["find", 0], layers="fine", first_layer=0, last_layer=1),
        "change": node(
            "SoundManipulate", generator=["G", 0], encoder=["J", 0], latents=["styles", 0], embeds=["mix", 0],
            also=["text", 0], also_weight=1.0, identity=["face", 0], keep_identity=0.004, **CHANGE,
        ),
        "face": node("LoadIdentityEncoder", name="tiny.safetensors"),
        "mini": node("LoadMiniatureModel", name="miniature"),
        "look": node("LoadPreviewDecoder", model=["mini", 0], decoder="auto"),
        "guided": node(
            "GuideModel", model=["mini", 0], encoder=["J", 0], embeds=["text", 0], decoder=["look", 0], **GUIDE
        ),
        "nothing": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["mini", 1], "text": ""}},
        "empty": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "same": node("FramesOfOneNoise", latent=["empty", 0], num_frames=2),
        "listen": {"class_type": "KSampler", "inputs": {
            "model": ["guided", 0], "positive": ["nothing", 0], "negative": ["nothing", 0],
            "latent_image": ["same", 0], **SAMPLE,
        }},
        "listened": {"class_type": "VAEDecode", "inputs": {"samples": ["listen", 0], "vae": ["mini", 2]}},
        "see_listened": {"class_type": "PreviewImage", "inputs": {"images": ["listened", 0]}},
        "render": node("StyleGANRender", generator=["G", 0], latents=["change", 0], chunk=1),
        "T": node("LoadSoundVideo", name="tiny.safetensors"),
        "start": node("SampleLatents", generator=["G", 0], seed=1, batch_size=1, psi=0.7),
        "invert": node(
            "SoundInversion", trajectory=["T", 0], audio=["sound", 0], start=["start", 0], fps=12.0, num_frames=30
        ),
        "walk": node("LatentTrajectoryRNN", trajectory=["T", 0], start=["start", 0], segments=["invert", 0], **WALK),
        "frames": node("StyleGANRender", generator=["G", 0], latents=["walk", 0], chunk=7),
        "report": node(
            "SoundReport", encoder=["J", 0], image=["frames", 0], audio=["sound", 0], fps=12.0, embeds=["text", 0]
        ),
        "clip": {"class_type": "CreateVideo", "inputs": {"images": ["frames", 0], "audio": ["sound", 0], "fps": 12.0}},
        "report2": node("SoundReport", encoder=["J", 0], video=["clip", 0], before=["frames", 0], fps=30.0),
        "see_report2": {"class_type": "PreviewAny", "inputs": {"source": ["report2", 1]}},
        "see_score": {"class_type": "PreviewAny", "inputs": {"source": ["report2", 4]}},
        "see_before": {"class_type": "PreviewAny", "inputs": {"source": ["report2", 5]}},
        "V": node("LoadStyleGANV", name="miniature"),
        "continuous": node("StyleGANVRender", generator=["V", 0], audio=["sound", 0], **CONTINUOUS),
        "U": node("LoadPixelDiffusion", name="tiny.safetensors"),
        "E": node("LoadFlow", name="tv-l1"),
        "film": node("ExampleScene", **FILM),
        "mask": {"class_type": "SolidMask", "inputs": {"value": 0.4, "width": 32, "height": 32}},
        "moves": node("FlowGuidance", image=["film", 0], estimator=["E", 0], longest_side=32, chunk=4),
        "edit": node(
            "SoundiniSampler", diffusion=["U", 0], encoder=["J", 0], image=["film", 0], embeds=["hear", 0],
            mask=["mask", 0], flow=["moves", 0], also=["text", 0], curve=["loud", 0], **EDIT,
        ),
        "G64": node("LoadStyleGAN", name="miniature"),
        "encoder": node("LoadInversionEncoder", name="miniature"),
        "found": node(
            "InvertImage", generator=["G64", 0], image=["scene", 0], inversion_encoder=["encoder", 0],
            **{**FIND, "method": "encoder"},
        ),
        "keep": node("SaveFoundPicture", generator=["found", 3], latents=["found", 0], filename="tiny"),
        "blend": node("BlendBack", photograph=["scene", 0], before=["change", 3], image=["change", 1], fit="whole",
                      keep=1.0),
        "see_blend": {"class_type": "PreviewImage", "inputs": {"images": ["blend", 0]}},
        "apart": node("SplitStems", audio=["sound", 0], separator="tiny.pt"),
        "length": node("VideoLength", fps=16.0, seconds=0.0, beats=0.0, bpm=120.0,
                       frames_per_latent="4 (Wan, Hunyuan)", audio=["sound", 0]),
        "see_length": {"class_type": "PreviewAny", "inputs": {"source": ["length", 4]}},
        "voice": node("SoundSchedule", audio=["apart", 3], **CURVE),
        "see_voice": {"class_type": "PreviewAny", "inputs": {"source": ["voice", 2]}},
        "loud": node("SoundSchedule", audio=["sound", 0], **{**CURVE, "curve": "loudness", "num_frames": 12}),
        "see_edit": {"class_type": "PreviewImage", "inputs": {"images": ["edit", 0]}},
        "see_moves": {"class_type": "PreviewImage", "inputs": {"images": ["moves", 1]}},
        "see_video": {"class_type": "PreviewImage", "inputs": {"images": ["continuous", 0]}},
        "see_plot": {"class_type": "PreviewImage", "inputs": {"images": ["report", 0]}},
        "see_report": {"class_type": "PreviewAny", "inputs": {"source": ["report", 1]}},
        "see_it": {"class_type": "PreviewImage", "inputs": {"images": ["render", 0]}},
        "see_curve": {"class_type": "PreviewAny", "inputs": {"source": ["curve", 0]}},
        "see_shape": {"class_type": "PreviewImage", "inputs": {"images": ["shape", 9]}},
        "see_heard": {"class_type": "PreviewAny", "inputs": {"source": ["hear", 2]}},
    }  # fmt: skip


def long_prompt() -> dict:
    """The same graph, with so much to do that every node that can take long does."""
    prompt = tiny_prompt()
    longer = {
        "sound": {"seconds": 60.0}, "film": {"size": 64, "num_frames": 96}, "mask": {"width": 64, "height": 64},
        "hear": {"num_frames": 96}, "loud": {"num_frames": 96}, "edit": {"steps": 6}, "moves": {"longest_side": 64},
        "invert": {"num_frames": 720}, "change": {"steps": 60}, "find": {"steps": 40, "candidates": 512},
        "continuous": {"seconds": 8.0}, "curve": {"num_frames": 0}, "scene": {"size": 512},
    }  # fmt: skip
    for id, inputs in longer.items():
        prompt[id]["inputs"] |= inputs
    return prompt
