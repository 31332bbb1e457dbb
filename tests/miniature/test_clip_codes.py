"""Videos in which content, motion noise, time and sound name every frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.generators.motion import MotionEncoder, TrajectoryNoise
from soundguide_core.generators.stylegan_v import StyleGANVConfig
from soundguide_core.miniature.world import clip_codes
from soundguide_core.miniature.world.clip_codes import CLIPS, DISTANCE, LEVELS, PERIOD, CodedClips, nearest_moments
from soundguide_core.miniature.world.codes import BITS, KINDS, POWERS, decode_bits
from soundguide_core.miniature.world.scenes import render

CONFIG = StyleGANVConfig(
    32, motion_z_dim=8, motion_u_dim=4, motion_distance=DISTANCE, waves=6, min_period=4, max_period=32, sound_dim=2
)  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Without the painter: red is four times the moment's number, green 100 times the power, blue the clip's kind."""
    folder = tmp_path_factory.mktemp("clips")
    pixels = np.zeros((len(CLIPS), len(LEVELS), PERIOD, 4, 4, 3), np.uint8)
    pixels[..., 0] = 4 * np.arange(PERIOD)[:, None, None]
    pixels[..., 1] = 100 * np.array(LEVELS)[:, None, None, None]
    pixels[..., 2] = np.array([clip.kind for clip in CLIPS])[:, None, None, None, None]
    np.save(folder / f"loops-{len(CLIPS)}-{len(LEVELS)}-{PERIOD}-4.npy", pixels)
    return CodedClips(folder, 4)


def draw(clips, count=64, frames=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    times = (200 * torch.rand(count, frames, generator=rng, dtype=torch.float64)).sort(dim=1).values
    z, motion_z = torch.randn(count, 16, generator=rng), torch.randn(count, 30, 8, generator=rng)
    return times, clips.draw(times, z, motion_z, rng)


def shown(named) -> torch.Tensor:
    """[B,F,3]: the moment's number, the power, the kind"""
    return (named.frames[..., 0, 0] + 1) * 127.5 / torch.tensor([4.0, 100.0, 1.0])


def test_z_names_a_clip_and_stays_normal(clips):
    _, named = draw(clips, 512)
    spelled = [decode_bits(named.z, BITS[name]).tolist() for name in ("layout", "kind", "power")]
    assert {(c.layout, c.kind, c.power) for c in CLIPS} >= set(zip(*spelled))
    assert shown(named)[:, 0, 2].round().tolist() == spelled[1]
    assert abs(float(named.z.std()) - 1) < 0.03 and named.z.shape == (512, 16)


def test_times_move_to_the_nearest_moment(clips):
    times, named = draw(clips)
    assert float((named.t - times).abs().max()) <= 0.5 + 1e-9
    again, number, _ = nearest_moments(named.t, named.motion_z)
    assert torch.allclose(again, named.t)
    assert torch.equal(shown(named)[..., 0].round().long(), number)
    whole = nearest_moments(times.round(), named.motion_z)[0]
    assert torch.allclose(whole, times.round())


def test_motion_goes_round_and_swells_as_the_noise_says():
    motion_z = TrajectoryNoise((7,), 8)
    t = torch.arange(0, 10 * DISTANCE, 0.25, dtype=torch.float64)[None]
    _, number, swell = nearest_moments(t, motion_z)
    signs = motion_z.tensor(11)[0, :, :3] > 0
    steps = 4 * PERIOD
    for anchor in range(10):
        part = slice(steps * anchor, steps * (anchor + 1))
        turns = 2 if signs[anchor, 0] else 1
        ahead = number[0, part].diff() % PERIOD
        assert int(ahead.max()) == 1 and int(ahead.sum()) >= turns * PERIOD - 1
        ends = [0.4 + 0.2 * (2 * int(two) + int(three)) for _, two, three in signs[anchor : anchor + 2]]
        assert torch.allclose(
            swell[0, part], torch.linspace(*ends, 4 * PERIOD + 1, dtype=torch.float64)[:-1], atol=0.01
        )
    assert len(set(signs[:, 0].tolist())) == 2


def test_a_sound_says_how_strong_and_else_the_content_and_the_swell(clips):
    _, named = draw(clips)
    heard = named.sound[:, 0, 0] > 0
    assert 16 < int(heard.sum()) < 48
    assert torch.all(named.sound[heard][..., 0] == 1) and torch.all(named.sound[~heard] == 0)
    power = shown(named)[..., 1]
    assert torch.allclose(power[heard], named.sound[heard][..., 1], atol=0.01) and power[heard].std() > 0.2
    own = torch.tensor(POWERS)[decode_bits(named.z, BITS["power"])][:, None]
    swell = nearest_moments(named.t, named.motion_z)[2]
    assert torch.allclose(power[~heard].double(), (own * swell)[~heard], atol=0.01)


def test_written_motion_is_the_place_in_the_clip_and_the_swell():
    motion = MotionEncoder(CONFIG).requires_grad_(False)
    clip_codes.write_motion(motion)
    noise = TrajectoryNoise(tuple(range(20)), 8)
    times = 500 * torch.rand(20, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    t, number, swell = nearest_moments(times, noise)
    sines, cosines = motion(t, noise).double().unflatten(-1, (2, CONFIG.waves)).unbind(-2)
    assert (sines[..., -1] - (2 * swell - 1)).abs().median() < 1e-3 and torch.equal(sines[..., -1], cosines[..., -1])
    once = DISTANCE / (32 / 8 ** (np.arange(5) / 5))  # turns of the waves as built
    harmonics = torch.from_numpy(np.round(once / 1.5))
    assert harmonics[0] == 1 and harmonics[-1] > 4
    angle = harmonics * (2 * torch.pi / PERIOD * number)[..., None]
    for made, right in ((sines[..., :-1], angle.sin()), (cosines[..., :-1], angle.cos())):
        wrong = (made - right).abs().amax(dim=-1) > 0.02  # a noise too near 0 says nothing
        assert wrong.double().mean() < 0.05


def test_motion_needs_room():
    from dataclasses import replace

    for changes in ({"motion_u_dim": 3}, {"motion_distance": 16.0}, {"motion_z_dim": 5}, {"max_period": 64.0}):
        with pytest.raises(InputError, match="cannot spell"):
            clip_codes.write_motion(MotionEncoder(replace(CONFIG, **changes)))


def test_a_tensor_of_noise_says_the_same_as_the_trajectories_it_is_of():
    noise = TrajectoryNoise((3, 4), 8)
    t = torch.tensor([[0.0, 47.3, 101.5], [5.0, 96.0, 190.2]], dtype=torch.float64)
    for one, other in zip(nearest_moments(t, noise), nearest_moments(t, noise.tensor(6))):
        assert torch.equal(one, other)
    with pytest.raises(InputError, match="noise of 4 anchors ends"):
        nearest_moments(t, noise.tensor(4))


def test_rendered_once_and_kept(tmp_path, monkeypatch):
    """Every clip, level and moment stands where draw looks for it; calm is the same at every power."""
    monkeypatch.setattr(clip_codes, "CLIPS", [CLIPS[0], CLIPS[-1]])
    steps = []
    clips = CodedClips(tmp_path, 8, lambda i, n: steps.append((i, n)))
    assert steps == [(0, 2), (1, 2)] and KINDS[CLIPS[-1].kind] is None
    first = CLIPS[0]
    for level, number in ((0, 0), (1, 17), (2, 47)):
        picture = render(
            first.layout, KINDS[first.kind], LEVELS[level], size=8, start_sec=number / 12, loop_sec=PERIOD / 12
        )
        assert np.array_equal(clips.pixels[0, level, number], picture[0])
    assert torch.equal(clips.pixels[1, 0], clips.pixels[1, 2])
    CodedClips(tmp_path, 8, lambda i, n: pytest.fail("rendered again"))
