from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.embedding.joint import load_joint
from soundguide_core.media.video_writing import writing
from soundguide_core.miniature.data import scene_clips
from soundguide_core.miniature.world import codes
from soundguide_core.training import clips

RATE = 8000


def write_clip(path: Path, seconds: float = 2.0, *, loud: tuple[float, float] = (0.5, 1.0), sound: bool = True) -> Path:
    """A video at 10 fps that is white while it is loud."""
    path.parent.mkdir(parents=True, exist_ok=True)
    t = torch.arange(round(seconds * 10)) / 10
    white = ((t >= loud[0] - 1e-6) & (t < loud[1] - 1e-6)).float() * 2 - 1
    at = torch.arange(round(seconds * RATE)) / RATE
    wave = (torch.rand(len(at), generator=torch.Generator().manual_seed(0)) - 0.5) * (
        0.01 + ((at >= loud[0]) & (at < loud[1])).float()
    )
    with writing(path, 10.0, (iter([wave[None]]), RATE) if sound else None) as put:
        put(white.view(-1, 1, 1, 1).expand(-1, 3, 40, 48))
    return path


def gathered(source, tmp_path, tiny, **sizes) -> clips.ClipSet:
    joint = load_joint(tiny.joint)
    spec = SimpleNamespace(**{"fps": 10.0, "frames": 8, "size": 32, **sizes})
    return clips.ClipSet(
        source, joint=joint, spec=joint.spec, fps=spec.fps, frames=spec.frames, size=spec.size, cache=tmp_path / "cache"
    )


def test_a_folder_of_clips_with_bad_ones_named(tmp_path, tiny):
    folder = tmp_path / "data"
    write_clip(folder / "sea_waves" / "a.mp4", 2.0)
    write_clip(folder / "rain" / "b.mkv", 1.0)
    write_clip(folder / "rain" / "short.mp4", 0.5)
    write_clip(folder / "rain" / "mute.mp4", sound=False)
    (folder / "rain" / "text.mp4").write_text("no video")
    skipped = clips.Skipped()
    found = clips.from_folder(folder, fps=10.0, frames=8, size=32, skipped=skipped)
    data = gathered(found, tmp_path, tiny)
    assert data.names == ["rain/b.mkv#0", "sea_waves/a.mp4#0", "sea_waves/a.mp4#1"]
    assert data.texts == ["rain", "sea waves", "sea waves"]
    assert sorted(skipped.reasons) == ["rain/mute.mp4", "rain/short.mp4", "rain/text.mp4"]
    assert str(skipped).startswith("3 clips skipped: rain/mute.mp4")
    with pytest.raises(InputError, match="holds no"):
        list(clips.from_folder(tmp_path / "cache", fps=10.0, frames=8, size=32, skipped=skipped))
    with pytest.raises(InputError, match="No clip"):
        gathered([], tmp_path, tiny)


def test_pictures_and_sound_are_of_the_same_moment(tmp_path, tiny):
    write_clip(tmp_path / "data" / "rain" / "a.mp4", 2.4, loud=(1.2, 1.6))
    found = clips.from_folder(tmp_path / "data", fps=10.0, frames=8, size=32, skipped=clips.Skipped())
    data = gathered(found, tmp_path, tiny)
    batch = data.batch([0, 1, 2], [0, 0, 0], 8)
    white = batch.real.mean(dim=(2, 3, 4)).flatten() > 0
    assert white.nonzero().flatten().tolist() == [12, 13, 14, 15]
    loud = batch.loudness.flatten()
    assert loud[12:16].min() > 0.8 and loud[:11].max() < 0.6 and loud[17:].max() < 0.6
    assert batch.mels.shape == (3, 8, 1, 32, 64) and batch.heard.shape == (3, 8, 16) and batch.said.shape == (3, 16)
    for k, column in enumerate(batch.columns[1].round().long().tolist()):  # 10 frames a second
        assert torch.allclose(batch.stretch[1, 0, :, column], batch.mels[1, k, 0, :, 32], atol=2e-3)
    window = data.batch([1], [3], 4)
    assert torch.equal(window.real[0], batch.real[1, 3:7]) and torch.equal(window.mels[0], batch.mels[1, 3:7])


def test_a_stretch_is_the_same_whatever_else_is_drawn(tmp_path, tiny):
    """Sounds of 1, 2 and 30 s lie in stretches of 12 s, and a window that is longer than that lies in one too."""

    def clip(seconds: int) -> clips.Clip:
        wave = torch.rand(seconds * RATE, generator=torch.Generator().manual_seed(seconds)) - 0.5
        return clips.Clip(str(seconds), "rain", lambda: np.zeros((9, 32, 32, 3), np.uint8), wave, RATE)

    data = gathered([clip(s) for s in (1, 2, 30)], tmp_path, tiny, frames=9)
    whole = data.batch([0, 1, 2], [0, 4, 2], 5)
    for i, start in enumerate((0, 4, 2)):
        alone = data.batch([i], [start], 5)
        assert torch.equal(alone.stretch[0], whole.stretch[i]) and torch.equal(alone.columns[0], whole.columns[i])
        for k, column in enumerate(whole.columns[i].round().long().tolist()):
            assert torch.allclose(whole.stretch[i, 0, :, column], whole.mels[i, k, 0, :, 32], atol=2e-3)
    ended = data.tracks[0].level_db.shape[1]
    assert whole.stretch[0, 0, :, :ended].any() and not whole.stretch[0, 0, :, ended:].any()
    track = data.tracks[2]
    long, columns = clips.stretches([(track, track.columns(0, 200, 10.0))])
    assert long.shape[-1] > columns.max() - columns.min() > 12 * RATE / track.spec.hop_length and columns.min() >= 0
    drawn = data.draw(2, 0, torch.Generator().manual_seed(0))
    assert drawn.mels.shape[1] == drawn.columns.shape[1] == 9


def test_every_text_is_drawn_as_often(tmp_path, tiny):
    def clip(i: int, text: str) -> clips.Clip:
        return clips.Clip(str(i), text, lambda: np.zeros((9, 32, 32, 3), np.uint8), torch.rand(RATE), RATE)

    data = gathered([clip(i, "rain" if i else "fire") for i in range(5)], tmp_path, tiny, frames=9)
    drawn, starts = data.choose(400, 3, torch.Generator().manual_seed(0))
    assert drawn.count(0) / 400 == pytest.approx(0.5, abs=0.08)
    assert set(drawn) == set(range(5)) and set(starts) == set(range(7))


def test_shards(tmp_path, tiny, monkeypatch):
    good = write_clip(tmp_path / "a.mp4").read_bytes()
    samples = [
        {"__key__": "1", "mp4": good, "txt": b"heavy rain\n"},
        {"__key__": "2", "mp4": b"nothing", "txt": b"rain"},
        {"__key__": "3", "mp4": good},
    ]
    monkeypatch.setitem(
        sys.modules,
        "webdataset",
        SimpleNamespace(
            WebDataset=lambda urls, **_: iter(samples) if urls == ["x-0.tar", "x-1.tar"] else None,
            shardlists=SimpleNamespace(expand_urls=lambda pattern: ["x-0.tar", "x-1.tar"]),
        ),
    )
    skipped = clips.Skipped()
    found = list(clips.from_shards("x-{0..1}.tar", fps=10.0, frames=20, size=32, skipped=skipped))
    assert [(clip.name, clip.text, len(clip.pixels())) for clip in found] == [("1#0", "heavy rain", 20)]
    assert set(skipped.reasons) == {"2", "3"}
    monkeypatch.setitem(sys.modules, "webdataset", None)
    with pytest.raises(InputError, match="pip install webdataset"):
        list(clips.from_shards("x.tar", fps=10.0, frames=20, size=32, skipped=skipped))


def test_processes_read_shards_of_their_own(tmp_path, tiny):
    """Real shards, through the real package."""
    pytest.importorskip("webdataset")
    good = write_clip(tmp_path / "a.mp4").read_bytes()
    for shard in range(3):
        with tarfile.open(tmp_path / f"clips-{shard}.tar", "w") as tar:
            for name, content in ((f"{shard}.mp4", good if shard else b"nothing"), (f"{shard}.txt", b"rain")):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    skipped, pattern = clips.Skipped(), str(tmp_path / "clips-{0..2}.tar")

    def names(part: int, parts: int) -> list[str]:
        sizes = {"fps": 10.0, "frames": 20, "size": 32, "skipped": skipped, "part": part, "parts": parts}
        return [clip.name for clip in clips.from_shards(pattern, **sizes)]

    assert names(0, 1) == ["1#0", "2#0"] and set(skipped.reasons) == {"0"}
    assert names(0, 2) == ["2#0"] and names(1, 2) == ["1#0"]
    with pytest.raises(InputError, match="3 shards are too few for 4"):
        names(0, 4)


def test_rendered_clips_follow_their_sound():
    found = list(scene_clips.synthesised(1, fps=12.0, frames=24, size=32, seed=3))
    assert [clip.text for clip in found] == list(codes.PHENOMENA)
    again = next(scene_clips.synthesised(1, fps=12.0, frames=24, size=32, seed=3))
    assert torch.equal(again.wave, found[0].wave) and (again.pixels() == found[0].pixels()).all()
    for clip in found:
        amounts = clip.code.amounts
        assert 0 <= clip.code.layout < codes.LAYOUTS and amounts.shape == (24, len(codes.PHENOMENA))
        assert np.flatnonzero(amounts.any(axis=0)).tolist() == [codes.PHENOMENA.index(clip.text)]
        assert clip.start_sec + 2 <= scene_clips.SOUND_SEC == len(clip.wave) / clip.sample_rate


def test_a_code_is_where_a_coded_generator_has_its_scene():
    """The written mapping puts the same scene to the same place."""
    from soundguide_core.generators.generator import Mapping

    mapping = Mapping(SimpleNamespace(mapping_layers=3, z_dim=128, w_dim=128, c_dim=0))
    codes.write_mapping(mapping)
    clip = list(scene_clips.synthesised(1, fps=12.0, frames=24, size=32, seed=3))[2]
    z = torch.ones(1, 128)
    scene = (clip.code.layout, codes.PHENOMENA.index(clip.text), 0, len(codes.POWERS) - 1)
    for (part, bits), number in zip(codes.BITS.items(), scene):
        width = bits.stop - bits.start
        z[0, bits] = torch.tensor([1.0 if number >> k & 1 else -1.0 for k in reversed(range(width))])
        assert codes.decode_bits(z, bits).item() == number, part
    w = mapping(z)[0].detach()
    assert w[clip.code.layout] == pytest.approx(codes.AMPLITUDE, abs=0.1)
    dim = scene_clips.phenomenon_dim(codes.PHENOMENA.index(clip.text))
    assert w[dim] == pytest.approx(codes.AMPLITUDE, abs=0.1)
    assert w.abs().sort().values[-3] < 0.5


def test_curves_stay_in_range():
    rng = np.random.default_rng(0)
    drawn = [scene_clips.draw_curve(rng, 72, 12.0) for _ in range(40)]
    assert all(len(c) == 72 and c.min() >= 0 and c.max() <= 1 + 1e-9 for c in drawn)
    assert np.mean([c.max() - c.min() for c in drawn]) > 0.4


def test_named_latents_spell_their_layout():
    drawn = torch.randn(16, 64, generator=torch.Generator().manual_seed(0))
    calm = torch.tensor([True, False] * 8)
    layouts = [31, 0, 5, 17] * 4
    z = scene_clips.name_z(torch.tensor(layouts), calm, drawn)
    assert codes.decode_bits(z, codes.BITS["layout"]).tolist() == layouts
    kinds = codes.decode_bits(z, codes.BITS["kind"])
    assert (kinds[calm] == codes.KINDS.index(None)).all() and (kinds[~calm] != codes.KINDS.index(None)).any()
    assert torch.equal(z.abs(), drawn.abs())
