"""Soundini as nodes: how a video moves, and a video changed by a sound, inside a mask or whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..soundguide_core.common.errors import InputError
from ..soundguide_core.systems.configs.video_editing import CONSTANT, DECIBELS, SONES, EditConfig, LeadConfig
from . import plots, sockets
from .embedding import check_encoder, encoder_input, mix
from .host import advanced, halving, image_of, img_of, io, mask_of, on_device, on_step, search_aliases, with_grad
from .settings import AS_SET, config_inputs, config_of, preset_input


class FlowGuidance(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideFlowGuidance",
            display_name="Video Movement",
            **search_aliases("optical flow, raft, motion vectors, video motion"),
            category="SoundGuide/video",
            description="Finds out how a video moves, in both directions, and what its frames hide from each other. "
            "Change Video by Sound follows it, so that what it paints moves along.",
            inputs=[
                io.Image.Input("image", tooltip="The frames of the source video, two or more."),
                io.Int.Input(
                    "longest_side",
                    default=256,
                    min=32,
                    max=4096,
                    step=8,
                    tooltip="Larger frames are scaled down to this many pixels for the search. Double takes four times "
                    "as long: tv-l1 needs about 0.4 s a frame at 128, 1.5 s at 256.",
                ),
                io.Int.Input(
                    "chunk",
                    default=8,
                    min=1,
                    max=256,
                    tooltip="Pairs of frames in the estimator at once; more takes more memory. tv-l1 takes one at a "
                    "time anyway.",
                    **advanced(),
                ),
                sockets.FlowEstimator.Input(
                    "estimator", optional=True, tooltip="From Load Flow Estimator; without it tv-l1."
                ),
            ],
            outputs=[
                sockets.Flow.Output("flow", display_name="flow", tooltip="For Change Video by Sound."),
                io.Image.Output(
                    "flow_picture",
                    display_name="flow_picture",
                    tooltip="One picture for each pair of frames: hue is the direction, depth of colour the speed.",
                ),
                io.Image.Output(
                    "hidden",
                    display_name="hidden",
                    tooltip="The same for what the next frame hides or leaves out: white.",
                ),
            ],
        )

    @classmethod
    def execute(cls, image, longest_side, chunk, estimator=None):
        import torch

        from ..soundguide_core.flow.estimators import load_flow
        from ..soundguide_core.flow.optical_flow import estimate_flow, flow_picture
        from ..soundguide_core.media.images import resize

        frames = img_of(image)
        if len(frames) < 2:
            raise InputError("One picture does not move.", "Send the frames of a video.")
        size = frames.shape[2:]
        scale = min(longest_side / max(size), 1)
        height, width = (max(round(side * scale), 1) for side in size)
        network = load_flow() if estimator is None else estimator.on_device()
        device = torch.device("cpu") if estimator is None else estimator.device
        small, step = resize(frames, (height, width), "stretch"), on_step()
        flow = halving(
            lambda pairs: with_grad(
                estimate_flow, small, lambda *pair: network(*(x.to(device) for x in pair)).cpu(), pairs, step
            ),
            chunk,
            device,
        )
        shown = flow.resized(*size)
        hidden = (1 - 2 * shown.visible_fw).expand(-1, 3, -1, -1)
        return io.NodeOutput(sockets.VideoFlow(flow), image_of(flow_picture(shown.fw)), image_of(hidden))


class SoundiniSampler(io.ComfyNode):
    NEEDS = ("diffusers",)

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideSoundiniSampler",
            display_name="Change Video by Sound",
            **search_aliases(
                "audio reactive, soundini, sound guided, audio to video, video editing, fire, rain, "
                "thunder, video inpaint"
            ),
            category="SoundGuide",
            description="Paints what the sound means into a video: inside a mask, or everywhere. Outside the mask "
            "nothing changes, to the bit. Soundini: Sound-Guided Diffusion for Natural Video Editing, Lee et al. 2023.",
            inputs=[
                sockets.PixelDiffusion.Input("diffusion", tooltip="From Load Pixel Diffusion: what paints."),
                encoder_input(),
                io.Image.Input(
                    "image",
                    tooltip="The frames of the video, of any size and number. The time grows with their number.",
                ),
                sockets.SoundEmbeds.Input(
                    "embeds",
                    tooltip="What shall be seen. From Encode Sound with 'per_frame' and the video's fps and number of "
                    "frames, each frame follows its moment; otherwise one meaning holds for all.",
                ),
                *config_inputs(LeadConfig, "strength"),
                *config_inputs(EditConfig, "steps", "skip", "seed"),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="1 where to edit: one for all frames or one for each, in the shape of the frames. Without "
                    "it everything is edited.",
                ),
                sockets.Flow.Input(
                    "flow",
                    optional=True,
                    tooltip="From Video Movement, of the same frames. Without it tv-l1 finds the movement here.",
                ),
                sockets.SoundEmbeds.Input(
                    "also",
                    optional=True,
                    tooltip="A text, picture or second sound: mixed in or, with 'also_mask', in a place of its own.",
                ),
                io.Float.Input(
                    "curve",
                    optional=True,
                    force_input=True,
                    tooltip="A list of numbers that multiply the strength, one for each frame: the loudness from Audio "
                    "Curve, for example, changes more where it is louder.",
                ),
                io.Float.Input(
                    "also_weight",
                    default=1.0,
                    min=-4.0,
                    max=4.0,
                    step=0.05,
                    tooltip="How much of 'also' against 1 of 'embeds'; below 0 leads away from it.",
                    **advanced(),
                ),
                *config_inputs(
                    EditConfig,
                    *("weights.flow", "weights.background", "weights.direction", "variant", "sampler", "outside_mask"),
                    *("crops", "feather", "invert", "window", "chunk", "size"),
                    also=advanced(),
                ),
                *config_inputs(
                    LeadConfig,
                    "loudness",
                    also=advanced(),
                    loudness={"default": CONSTANT, "options": [CONSTANT, SONES, DECIBELS], "optional": True},
                ),
                preset_input(EditConfig, **advanced()),
                *config_inputs(EditConfig, "keep_detail", also={"optional": True, **advanced()}),
                io.Mask.Input(
                    "also_mask",
                    optional=True,
                    tooltip="1 where 'also' is painted; 'embeds' is then painted where 'mask' is 1. Two sounds in two "
                    "places, in one pass.",
                ),
            ],
            outputs=[
                io.Image.Output("edited", display_name="image", tooltip="The edited frames."),
                io.Image.Output(
                    "loss_plot", display_name="loss_plot", tooltip="What was asked for, step by step, window by window."
                ),
            ],
        )

    @classmethod
    def refuse(cls, steps, skip, preset=AS_SET):
        config_of(EditConfig, {"steps": steps, "skip": skip, "preset": preset})

    @classmethod
    def execute(
        cls, diffusion, encoder, image, embeds, also_weight, mask=None, flow=None, also=None, curve=None,
        also_mask=None, **settings,
    ):  # fmt: skip
        import torch

        from ..soundguide_core.pipelines.hearing import Heard
        from ..soundguide_core.pipelines.video_editing import EditNetworks, edit_whole

        elsewhere = []
        if also_mask is not None:
            if also is None:
                raise InputError("There is a place for a second sound, and no second sound.", "Connect one to 'also'.")
            check_encoder([also], encoder)
            elsewhere.append((Heard(also.at_frames, also.loudness, also.fps), mask_of(also_mask)))
        elif also is not None:
            embeds = mix([embeds, also], [1.0, also_weight])
        check_encoder([embeds], encoder)
        denoiser, joint = on_device(diffusion, encoder)
        networks = EditNetworks(denoiser, joint, None if flow is None else flow.flow)
        said: dict[str, Any] = dict(
            lead=config_of(LeadConfig, {"loudness": CONSTANT, **settings}),
            curve=None if curve is None else torch.as_tensor(curve, dtype=torch.float32),
            masks=None if mask is None else mask_of(mask),
            elsewhere=elsewhere,
            on_step=on_step(),
        )
        config = config_of(EditConfig, settings)
        heard = Heard(embeds.at_frames, embeds.loudness, embeds.fps)
        edited = halving(
            lambda chunk: with_grad(edit_whole, img_of(image), heard, networks, replace(config, chunk=chunk), **said),
            config.chunk,
            encoder.device,
            "Give a smaller size or window.",
        )
        history = edited.history or [{"no step was guided": 0.0}]  # with few steps all may lie below the guided noise
        return io.NodeOutput(image_of(edited.frames), plots.loss_picture(history, embeds.label))


NODES = [FlowGuidance, SoundiniSampler]
