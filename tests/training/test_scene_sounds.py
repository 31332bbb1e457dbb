from __future__ import annotations

import numpy as np
import pytest
import torch

from soundguide_core.audio.mel import MelSpec
from soundguide_core.audio.track import MelTrack
from soundguide_core.errors import InputError
from soundguide_core.miniature import codes, sounds
from soundguide_core.miniature.scenes import PHENOMENA
from soundguide_core.training import scene_sounds, sound_video_sources
from soundguide_core.training.scene_clips import phenomenon_dim

SPEC = MelSpec(
    sample_rate=8000, n_fft=256, hop_length=200, n_mels=16, fmin=0, fmax=4000, top_db=80,
    columns=64, stride=32, layout="plain", fill="mirror", focus=0, frame_columns=40,
)  # fmt: skip
TABLE = {
    "per_phenomenon": 1, "first_seed": 0, "recorded": 0.5, "crossfades": 0.0, "silences": 0.0,
    "eq_db": 0.0, "noisy": 0.0, "noisiest_db": -40.0,
}  # fmt: skip
DATA = {"recordings": "nowhere", "folds": [1], "ambience": {"rain": "rain"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("sounds")


def build(folder, **changes) -> scene_sounds.SceneSounds:
    return scene_sounds.SceneSounds({**TABLE, **changes}, DATA, spec=SPEC, fps=12.0, cache=folder)


def test_sounds_are_made_once(folder, monkeypatch):
    made = build(folder)
    assert {p.stem for p in folder.iterdir()} == set(PHENOMENA)
    monkeypatch.setattr(sounds, "synthesise", None)
    again = build(folder)
    assert torch.equal(made.pools["fire"][0][0], again.pools["fire"][0][0])
    with pytest.raises(TypeError):
        build(folder, first_seed=9)


def test_what_a_moment_shows_is_how_loud_it_is(folder):
    found = build(folder).draw(6, 60, torch.Generator().manual_seed(0))
    assert found.mels.shape == (6, 60, 1, 16, 40) and found.real is None
    for mel, code in zip(found.mels, found.codes):
        ((dim, amount),) = code.amounts.items()
        assert dim in [phenomenon_dim(k) for k in range(len(PHENOMENA))] and 0 <= code.layout < codes.LAYOUTS
        assert amount.min() >= 0 and amount.max() <= codes.AMPLITUDE + 1e-6
        loud = torch.logsumexp(mel[:, 0, :, 19:22] * 80 * np.log(10) / 10, dim=(1, 2)).numpy()
        assert np.corrcoef(loud, amount)[0, 1] > 0.8 or amount.std() < 0.1


def test_rows_of_a_batch_are_those_of_the_whole(folder):
    sounds = build(folder, crossfades=0.5, eq_db=3.0, noisy=0.5)
    whole, odd = (
        sounds.draw(5, 2, torch.Generator().manual_seed(3), rows) for rows in (slice(None), slice(1, None, 2))
    )
    assert torch.equal(whole.mels[1::2], odd.mels)
    assert [code.layout for code in whole.codes[1::2]] == [code.layout for code in odd.codes]


def test_one_sound_follows_another(folder):
    made, moved = build(folder, crossfades=1.0), 0
    for code in made.draw(12, 72, torch.Generator().manual_seed(1)).codes:
        first, second = code.amounts.values()
        share = second / (first + second)
        assert len(code.amounts) == 2 and (np.diff(share) > -1e-6).all()
        moved += share[0] < 0.01 and share[-1] > 0.99
    assert moved >= 6  # in others the change lies before or after the window


def test_a_fade_keeps_the_power():
    share = scene_sounds.fade(100, 40.0, 20.0)
    assert share[:30] == pytest.approx(0) and share[50:] == pytest.approx(1)
    assert share[39] + share[40] == pytest.approx(1)  # the middle lies between these two
    assert (np.diff(share) >= 0).all()


def test_a_sound_may_end(folder):
    made, ended = build(folder, silences=1.0), 0
    for code in made.draw(12, 72, torch.Generator().manual_seed(1)).codes:
        ((_, amount),) = code.amounts.items()
        ended += amount[-1] < 0.05 < amount.max()
    assert ended >= 6


def test_a_recording_is_cut_and_a_short_one_repeated(folder):
    made = build(folder, recorded=1.0)
    made.pools["rain"][1].append(MelTrack.of_wave(torch.rand(8000 * 2) - 0.5, 8000, SPEC).level_db)
    level = made._sound("rain", np.random.default_rng(0))
    assert level.shape == (16, made.columns) and level.max() == 0


def test_what_the_recipe_says():
    assert sound_video_sources.gather_sounds({"kind": "folder"}, SPEC, None, None) is None
    with pytest.raises(InputError, match="'scenes'"):
        sound_video_sources.gather_sounds({"kind": "folder", "sounds": TABLE}, SPEC, None, None)
