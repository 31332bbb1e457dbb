"""Videos in which content, motion noise, time and sound name every frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soundguide_core.errors import InputError
from soundguide_core.generators.motion import MotionEncoder, TrajectoryNoise
from soundguide_core.generators.stylegan_v import StyleGANVConfig
from soundguide_core.miniature import clip_codes
from soundguide_core.miniature.clip_codes import CLIPS, DISTANCE, MOMENTS, NamedClips, moment, nearest_moments
from soundguide_core.miniature.codes import BITS, KINDS, read_bits
from soundguide_core.miniature.scenes import render

CONFIG = StyleGANVConfig(
    32, motion_z_dim=8, motion_u_dim=32, motion_distance=DISTANCE, waves=6, min_period=6, max_period=24, sound_dim=2
)  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Without the painter: the number of each moment as its grey."""
    folder = tmp_path_factory.mktemp("clips")
    shape = (len(CLIPS), 2, MOMENTS, 4, 4, 3)
    pixels = np.zeros(shape, np.uint8)
    pixels += (10 * np.arange(MOMENTS, dtype=np.uint8))[:, None, None, None]
    np.save(folder / f"clips-{len(CLIPS)}-{MOMENTS}-4.npy", pixels)
    return NamedClips(folder, 4)


def draw(clips, count=64, frames=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    times = (200 * torch.rand(count, frames, generator=rng, dtype=torch.float64)).sort(dim=1).values
    return times, clips.draw(count, times, 16, 8, rng)


def test_z_names_a_clip_and_stays_normal(clips):
    _, named = draw(clips, 512)
    spelled = zip(*(read_bits(named.z, part).tolist() for part in BITS.values()))
    assert {(c.layout, c.kind, c.weather, c.power) for c in CLIPS} >= set(spelled)
    assert abs(float(named.z.std()) - 1) < 0.03 and named.z.shape == (512, 16)


def test_times_move_to_the_nearest_moment(clips):
    times, named = draw(clips)
    assert float((named.t - times).abs().max()) <= 0.5 * DISTANCE * 4 / MOMENTS + 1e-9
    again, number = nearest_moments(named.t, named.motion_z)
    assert torch.allclose(again, named.t)
    assert torch.equal(((named.frames[:, :, 0, 0, 0] + 1) * 127.5 / 10).round().long(), number)


def test_motion_goes_forward_through_the_quarters_that_the_noise_names():
    motion_z = TrajectoryNoise((7,), 8)
    t = torch.arange(0, 10 * DISTANCE, 0.25, dtype=torch.float64)[None]
    _, number = nearest_moments(t, motion_z)
    ahead = number[0].diff() % MOMENTS
    assert int(ahead.max()) == 1 and 20 < int(ahead.sum()) <= 10 * MOMENTS
    noise = motion_z.tensor(10)[0]
    expected = 6 * (2 * (noise[:, 0] > 0).long() + (noise[:, 1] > 0).long())
    assert torch.equal(number[0, :: int(4 * DISTANCE)], expected)


def test_a_sound_says_how_strong(clips):
    _, named = draw(clips)
    heard = named.sound[:, 0, 0] > 0
    assert 16 < int(heard.sum()) < 48
    assert torch.all(named.sound[heard][..., 0] == 1) and torch.all(named.sound[~heard] == 0)
    assert named.sound[heard][..., 1].std() > 0.2 and named.sound.min() >= 0 and named.sound.max() <= 1


def test_written_motion_knows_two_quarters_and_nothing_else():
    motion = MotionEncoder(CONFIG).requires_grad_(False)
    clip_codes.write_motion(motion)
    noise = TrajectoryNoise((3,), 8)
    u = motion.motion_u(noise, torch.arange(12))[0]
    met = (u[:, 0:32:2] - u[:, 1:32:2]).argmax(dim=1)  # which pair
    quarter = 2 * (noise.tensor(13)[0, :, 0] > 0) + (noise.tensor(13)[0, :, 1] > 0).long()
    assert torch.equal(met, 4 * quarter[:12] + quarter[1:])
    assert torch.allclose((u[:, 0:32:2] - u[:, 1:32:2]).sum(dim=1), torch.tensor(4.0), atol=0.05)
    # every wave begins and ends a segment at the same height: it needs no stitching
    turns = (motion.time_encoder.periods_predictor(u).tanh() + 1) * torch.from_numpy(motion.time_encoder.frequencies())
    turns = turns * DISTANCE / (2 * torch.pi)
    assert (turns - turns.round()).abs().max() < 0.02 and turns.round().min() == 1 and turns.round().max() == 4


def test_motion_needs_room():
    from dataclasses import replace

    for changes in ({"motion_u_dim": 16}, {"motion_distance": 16.0}, {"motion_z_dim": 3}):
        with pytest.raises(InputError, match="cannot spell"):
            clip_codes.write_motion(MotionEncoder(replace(CONFIG, **changes)))


@pytest.mark.parametrize("kind", ["waves", "birds"])
def test_clips_close(kind):
    """The last moments fade into what would have come before the first."""
    clip = next(c for c in CLIPS if KINDS[c.kind] == kind)

    def apart(a, b) -> float:
        return float(np.abs(a.astype(float) - b.astype(float)).mean())

    def plain(number: int) -> np.ndarray:
        sec = (clip_codes.PERIOD + clip_codes.STEP * number) / clip_codes.FPS
        return render(clip.layout, kind, 0.8, size=24, variant=clip.weather, start_sec=sec)[0]

    first, last = moment(clip, 0, 0.8, 24), moment(clip, MOMENTS - 1, 0.8, 24)
    assert np.array_equal(first, plain(0)) and np.array_equal(moment(clip, 17, 0.8, 24), plain(17))
    assert apart(last, plain(-1)) < 0.3 * apart(last, plain(MOMENTS - 1))
    assert apart(first, last) < 0.8 * apart(first, plain(MOMENTS - 1))
