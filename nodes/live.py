"""A picture that moves with the microphone, on a page of this machine, while the graph runs."""

from __future__ import annotations

import time
from typing import Any

from ..soundguide_core.common.errors import InputError
from ..soundguide_core.live.config import WORDS, LiveConfig
from . import sockets
from .embedding import encoder_input
from .host import (
    advanced,
    audio_of,
    image_of,
    io,
    on_device,
    on_step,
    output_folder,
    search_aliases,
    tell,
    with_grad,
)
from .settings import config_inputs, config_of

OPENED_WITHIN_SEC = 600.0
LOOKS_EVERY_SEC = 0.1
FINE = 1000  # steps of the progress bar
UNKNOWN_SEC = 60.0


class LivePage(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SoundGuideLivePage",
            display_name="Live Page (Microphone)",
            **search_aliases("live, microphone, realtime, real time, audio reactive, vj, record audio, performance"),
            category="SoundGuide/video",
            description="While it runs, a page on this machine takes your microphone or a file, and a picture moves "
            "with it. Nothing leaves the machine. What was shown and heard last comes out as frames and sound.",
            hidden=[io.Hidden.unique_id],
            inputs=[
                encoder_input(),
                sockets.Generator.Input(
                    "generator",
                    optional=True,
                    tooltip="From Load StyleGAN: its picture moves towards what is heard. Or connect video_generator.",
                ),
                sockets.VideoGenerator.Input(
                    "video_generator",
                    optional=True,
                    tooltip="From Load StyleGAN-V: the loudness drives its motion. In place of generator.",
                ),
                io.String.Input(
                    "words",
                    default=", ".join(WORDS),
                    multiline=True,
                    tooltip="What is listened for, separated by commas.",
                ),
                *config_inputs(LiveConfig, "strength", "smoothing", "drift", "seed", "psi"),
                io.Float.Input(
                    "seconds",
                    default=0.0,
                    min=0.0,
                    max=3600.0,
                    step=1.0,
                    tooltip="How long it runs, from the first picture on. 0: until 'Done' is pressed on the page. Stop "
                    "in ComfyUI ends it too, and gives nothing out.",
                ),
                io.Float.Input(
                    "keep",
                    default=10.0,
                    min=0.1,
                    max=600.0,
                    step=0.5,
                    tooltip="Seconds at the end that are given out. A minute takes 70 MB at 64 x 64, 1 GB at 256.",
                ),
                io.Int.Input(
                    "port",
                    default=8190,
                    min=0,
                    max=65535,
                    tooltip="The page is http://127.0.0.1:8190, or this number in its place; 0 takes any that is free, "
                    "which the log tells. It is open to this machine alone, and closed when the node ends.",
                    **advanced(),
                ),
                *config_inputs(LiveConfig, "max_fps", also=advanced()),
            ],
            outputs=[
                io.Image.Output("image", display_name="image", tooltip="The last pictures, 24 a second."),
                io.Audio.Output("audio", display_name="audio", tooltip="What was heard with them; silence if nothing."),
                io.Float.Output("fps", display_name="fps", tooltip="Frames a second, for Create Video: 24."),
                io.Int.Output("num_frames", display_name="num_frames", tooltip="How many there are."),
            ],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **_):
        return float("nan")  # another performance each time

    @classmethod
    def refuse(cls, words):
        words_of(words)

    @classmethod
    def execute(cls, encoder, words, seconds, keep, port, generator=None, video_generator=None, **settings):
        from ..soundguide_core.live.ear import LiveEar
        from ..soundguide_core.live.reel import FPS, Reel
        from ..soundguide_core.live.serving import offered
        from ..soundguide_core.live.session import LiveSession

        if (generator is None) == (video_generator is None):
            raise InputError(
                "The page needs one thing that paints.", "Connect either 'generator' or 'video_generator'."
            )
        config = config_of(LiveConfig, settings, words=words_of(words))
        network, joint = on_device(*filter(None, (generator, video_generator)), encoder)
        ear = with_grad(LiveEar, joint, config.words)
        picture = with_grad(picture_of, network, joint, ear, video_generator is not None)
        reel, sessions = Reel(keep), []

        def make_session(show):
            sessions.append(LiveSession(ear, picture, config, show, reel))
            return sessions[-1]

        with offered(make_session, output_folder(), port) as page:
            tell(cls.hidden.unique_id, f"Open {page.address} in a browser on this machine")
            watch(page, reel, seconds, sessions)
        clip = reel.clip()
        assert clip is not None, "watch ends after the first picture"
        image = image_of(clip.frames)
        return io.NodeOutput(image, audio_of(clip.wave[None], clip.sample_rate), FPS, len(image))


def words_of(text: str) -> tuple[str, ...]:
    words = tuple(dict.fromkeys(word.strip() for word in text.replace("\n", ",").split(",") if word.strip()))
    if not words:
        raise InputError("There is no word to listen for.", "Write some, with commas between: rain, wind.")
    return words


def picture_of(network: Any, joint: Any, ear: Any, moves: bool) -> Any:
    from ..soundguide_core.live.picture import StillPicture, VideoPicture

    return VideoPicture(network) if moves else StillPicture(network, joint, ear.word_embeds, on_step())


def watch(page: Any, reel: Any, seconds: float, sessions: list) -> None:
    """Until the page says that it is done, or the time is over; raises where Stop was pressed."""
    step, began = on_step(), time.monotonic()
    while reel.began is None or not page.done.is_set():
        time.sleep(LOOKS_EVERY_SEC)
        for session in sessions:
            if session.error is not None:
                raise session.error
        now = time.monotonic()
        if reel.began is None:
            if now - began > OPENED_WITHIN_SEC:
                raise InputError(
                    f"Nobody has opened the page {page.address} in {OPENED_WITHIN_SEC:.0f} seconds.",
                    "Open it in a browser on the machine that ComfyUI runs on, while the node runs.",
                )
            step(0, FINE, {}, lambda: None)
            continue
        passed = now - reel.began
        if seconds and passed >= seconds:
            return
        share = passed / seconds if seconds else passed / (passed + UNKNOWN_SEC)  # of unknown length: ever slower
        step(int(share * (FINE - 2)), FINE, {}, lambda: reel.latest)


NODES = [LivePage]
