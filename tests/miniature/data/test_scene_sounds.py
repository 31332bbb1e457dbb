from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.audio.mel import MelSpec
from soundguide_core.audio.track import MelTrack
from soundguide_core.common import parallel as processes
from soundguide_core.common.errors import InputError
from soundguide_core.miniature.data import scene_clips, scene_sounds, sound_batches
from soundguide_core.miniature.sounds import synthesis as sounds
from soundguide_core.miniature.world import codes
from soundguide_core.miniature.world.scenes import PHENOMENA

SPEC = MelSpec(
    sample_rate=8000, n_fft=256, hop_length=200, n_mels=16, fmin=0, fmax=4000, top_db=80,
    columns=64, stride=32, layout="plain", fill="mirror", focus=0, frame_columns=40,
)  # fmt: skip
TABLE = {
    "per_phenomenon": 1, "first_seed": 0, "recorded": 0.5, "shortest_sec": 4.0, "longest_sec": 8.0, "another": 0.0,
    "silences": 0.0, "louder_db": 4.0, "eq_db": 0.0, "noisy": 0.0, "noisiest_db": -40.0,
}  # fmt: skip
DATA = {"recordings": "nowhere", "folds": [1], "ambience": {"rain": "rain"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sounds")


def build(folder, **changes) -> scene_sounds.SceneSounds:
    return scene_sounds.SceneSounds({**TABLE, **changes}, DATA, spec=SPEC, fps=12.0, cache=folder)


def mels(level: torch.Tensor, spec: MelSpec) -> torch.Tensor:
    return scene_sounds.against_loudest(level, level.amax(dim=(1, 2), keepdim=True), spec)


def test_sounds_are_made_once(folder, monkeypatch):
    made = build(folder)
    monkeypatch.setattr(sounds, "synthesise", None)
    again = build(folder)
    assert torch.equal(made.levels, again.levels) and made.levels.shape[0] == len(PHENOMENA)
    with pytest.raises(TypeError):
        build(folder, first_seed=9)


def test_what_a_moment_shows_is_how_loud_it_is(folder):
    found = build(folder).draw(6, 60, torch.Generator().manual_seed(0))
    assert found.mels.shape == (6, 60, 1, 16, 40) and found.real is None
    assert found.columns.shape == (6, 60) and found.stretch.shape[:3] == (6, 1, 16)
    assert found.amounts.shape == (6, 60, len(PHENOMENA)) and found.amounts.min() >= 0 and found.amounts.max() <= 1
    assert ((found.amounts > 0).any(dim=1).sum(dim=1) == 1).all() and (found.layouts < codes.LAYOUTS).all()
    for mel, amount in zip(found.mels, found.amounts.sum(dim=2).numpy()):
        loud = torch.logsumexp(mel[:, 0, :, 19:22] * 80 * np.log(10) / 10, dim=(1, 2)).numpy()
        assert np.corrcoef(loud, amount)[0, 1] > 0.8 or amount.std() < 0.1


def test_a_batch_is_what_tracks_say_one_by_one(folder):
    """Windows, loudness and strength of many sounds at once, against MelTrack and the law."""
    level, frames = build(folder).levels.float()[2:6], torch.tensor([[0, 1], [5, 6], [40, 41], [70, 71]])
    windows = sound_batches.windows_of(mels(level, SPEC), frames, SPEC, 12.0)
    loud = sound_batches.loudness_of(level, sound_batches.within_frames(SPEC, 12.0, level.shape[2], 72), SPEC)
    for i, row in enumerate(level):
        track = MelTrack(row, SPEC, 6.0)
        assert torch.allclose(windows[i], track.windows(int(frames[i, 0]), 2, 12.0), atol=tol.FLOAT32_SUM)
        assert loud[i].numpy() == pytest.approx(track.loudness(12.0, 72), abs=tol.FLOAT32_SUM)
    silent = replace(SPEC, fill="silence")
    expected = MelTrack(level[0], silent, 6.0).windows(0, 2, 12.0)
    found = sound_batches.windows_of(mels(level[:1], silent), frames[:1], silent, 12.0)
    assert torch.allclose(found[0], expected, atol=tol.FLOAT32_SUM)


def test_other_processes_make_the_same_sounds(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "FEW", 0)
    monkeypatch.setattr(processes, "_cores", lambda: 2)
    plan = [(0, 200, k, 0) for k in range(2)]
    many = scene_clips.kept(tmp_path / "x.npz", ("key",), partial(scene_sounds._level, spec=SPEC, fps=12.0), plan)
    assert np.array_equal(many, build(folder).levels[:2].numpy())


def test_rows_of_a_batch_are_those_of_the_whole(folder):
    sounds = build(folder, another=0.5, eq_db=3.0, noisy=0.5)
    whole, odd = (
        sounds.draw(5, 2, torch.Generator().manual_seed(3), rows) for rows in (slice(None), slice(1, None, 2))
    )
    assert torch.equal(whole.mels[1::2], odd.mels) and torch.equal(whole.stretch[1::2], odd.stretch)
    assert torch.equal(whole.layouts[1::2], odd.layouts) and torch.allclose(whole.amounts[1::2], odd.amounts)


def test_a_window_lies_where_its_columns_say(folder):
    """The frames' own segments are cut from the stretch about these columns."""
    made = build(folder, another=1.0)
    for frames in (5, 0):
        found = made.draw(3, frames, torch.Generator().manual_seed(2))
        assert frames or 48 <= found.mels.shape[1] <= 96
        for i in range(3):
            at = found.columns[i].round().long()
            inside = (at >= 20) & (at + 20 <= found.stretch.shape[-1])
            assert inside.any()
            for k in torch.nonzero(inside)[:, 0].tolist():
                expected = found.stretch[i, 0, :, at[k] - 20 : at[k] + 20]
                assert torch.allclose(found.mels[i, k, 0], expected)


def test_one_sound_follows_another(folder):
    made, seen = build(folder, another=1.0, shortest_sec=8.0), []
    for amounts in made.draw(24, 0, torch.Generator().manual_seed(1)).amounts.numpy():
        kinds = np.flatnonzero(amounts.any(axis=0))
        largest = amounts.argmax(axis=1)[amounts.sum(axis=1) > 0.05]
        changes = (np.diff(largest) != 0).sum()
        assert len(kinds) <= 3 and changes <= 2  # one after the other, and none comes back in between
        seen.append(changes)
    assert {1, 2} <= set(seen)


def test_what_each_sound_has_of_the_power():
    turns, widths = torch.tensor([[2.0], [5.0]]), torch.tensor([[1.0], [0.5]])
    at = torch.linspace(0, 7, 701)
    first, second, third = sound_batches.shares(turns, widths, at)[:, 0].numpy()
    assert first + second + third == pytest.approx(np.ones(701), abs=tol.FLOAT32)
    rise = np.sin(np.clip((at.numpy() - 2) / 1.0 + 0.5, 0, 1) * np.pi / 2) ** 2
    assert first == pytest.approx(1 - rise, abs=tol.FLOAT32_SUM) and first[:150] == pytest.approx(1)
    assert third[:474] == pytest.approx(0) and third[526:] == pytest.approx(1) and second[250:470] == pytest.approx(1)


def test_sounds_are_there_while_they_are_needed():
    u = torch.rand(3, 50, generator=torch.Generator().manual_seed(0))
    turns, widths = torch.tensor([[3.0], [6.0]]).expand(2, 50), torch.ones(2, 50)
    begins = sound_batches.begin_sec(turns, widths, 9.0, u)
    for begin, since, until in zip(begins, (0.0, 2.5, 5.5), (3.5, 6.5, 9.0)):
        assert (begin <= since + 1e-5).all() and (begin + scene_sounds.SOUND_SEC >= until - 1e-5).all()
    assert begins.std(dim=1).min() > 0.3
    long = sound_batches.begin_sec(turns + 5, widths, 20.0, u)
    assert torch.allclose(long[0], torch.zeros(50)) and torch.allclose(long[2], torch.full((50,), 10.5))
    outside = sound_batches.begin_sec(turns - 5, widths, 4.0, u)  # the first is over, the second ends at 1.5 s
    assert (outside[1] <= 0).all() and (outside[1] + scene_sounds.SOUND_SEC >= 1.5 - 1e-5).all()
    assert (outside[2] <= 0.5 + 1e-5).all() and (outside[2] + scene_sounds.SOUND_SEC >= 4 - 1e-5).all()


def test_nothing_to_hear_is_0(folder):
    """As a MelTrack has it; against its own loudest bin silence would be as loud as can be."""
    level = torch.stack([torch.full((16, 30), scene_sounds.FLOOR_DB), torch.linspace(-90, -20, 30).expand(16, 30)])
    mel = mels(level, SPEC)
    assert not mel[0].any() and mel[1].max() == 1 and mel[1, 0, 0] == pytest.approx(1 - 70 / 80)
    found = build(folder, silences=1.0, longest_sec=20.0).draw(40, 0, torch.Generator().manual_seed(0))
    quiet = found.amounts.sum(dim=(1, 2)) == 0
    assert quiet.any() and not found.stretch[quiet].any() and not found.mels[quiet].any()


@pytest.mark.parametrize("changes", [{"shortest_sec": 9.0}, {"louder_db": None}])
def test_a_table_that_says_too_little(folder, changes):
    table = {key: value for key, value in {**TABLE, **changes}.items() if value is not None}
    with pytest.raises(InputError, match="data.sounds|shortest"):
        scene_sounds.SceneSounds(table, DATA, spec=SPEC, fps=12.0, cache=folder)


def test_a_sound_may_end(folder):
    amounts = build(folder, silences=1.0, shortest_sec=8.0).draw(12, 0, torch.Generator().manual_seed(1)).amounts
    amounts = amounts.sum(dim=2)
    assert ((amounts[:, -1] < 0.05) & (amounts.amax(dim=1) > 0.05)).sum() >= 6


def test_a_recording_is_cut_into_parts_and_a_short_one_repeated():
    level = torch.arange(100.0).expand(3, 100) - 200
    parts = sound_batches.parts_of(level, 40, 25)
    assert parts.shape == (1, 3, 40) and parts[0, 0, 0] == -150  # those before are 30 dB below the last moment
    again = sound_batches.parts_of(level[:, 90:], 25, 25)[0, 0]
    assert torch.equal(again[:10].flip(0), again[10:20]) and torch.equal(again[20:], again[:5])


def test_recordings_are_drawn_in_their_share():
    pools = scene_sounds._Pools(4)
    pools.add(2, 3)
    pools.add(2, 30)
    u = torch.rand(3, 4000, generator=torch.Generator().manual_seed(0))
    numbers = pools.choose(torch.full((4000,), 2), u, 0.25)
    assert set(numbers.tolist()) == {8, 9, 10, 11, *range(28, 61)}
    assert (numbers >= 28).float().mean() == pytest.approx(0.25, abs=0.03)
    assert ((numbers >= 28) & (numbers < 31)).float().mean() == pytest.approx(0.125, abs=0.02)  # both as often
    assert set(pools.choose(torch.zeros(4000, dtype=torch.long), u, 0.25).tolist()) == {0, 1, 2, 3}


OUTSIDE = {
    "share": 0.5, "per_kind": 1, "first_seed": 0, "recorded": 0.5, "folds": [1], "ambience": [], "without": [],
}  # fmt: skip


def test_what_is_from_outside_is_one_kind_more(folder):
    made = build(folder, outside=OUTSIDE)
    assert made.kinds == len(PHENOMENA) + 1
    found = made.draw(16, 30, torch.Generator().manual_seed(0)).amounts
    assert found.shape == (16, 30, made.kinds)
    assert 0.2 < (found[..., -1] > 0).any(dim=1).float().mean() < 0.8
    with pytest.raises(InputError, match="shares"):
        build(folder, outside={**OUTSIDE, "shares": 1})
