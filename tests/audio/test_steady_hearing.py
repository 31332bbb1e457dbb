from __future__ import annotations

import numpy as np
import pytest
import torch

from soundguide_core.audio import steady_hearing as sh
from soundguide_core.audio.mel import MelSpec
from soundguide_core.audio.track import MelTrack
from soundguide_core.embedding.sound_events import SoundEvents

SPEC = MelSpec(
    sample_rate=8000, n_fft=256, hop_length=100, n_mels=16, fmin=0, fmax=4000, top_db=80,
    columns=64, stride=32, layout="plain", fill="mirror", focus=0, frame_columns=20,
)  # fmt: skip
FPS = 12.0


@pytest.fixture(scope="module")
def events() -> SoundEvents:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = SoundEvents({"dim": 8, "backbone": "test_resnet"}, 16, kinds=3, width=8, dilations=(1, 2, 4)).eval()
        for parameter in made.parameters():
            if not parameter.any():
                parameter.data.normal_(0, 1.0)
    return made.requires_grad_(False)


def track(seconds: float) -> MelTrack:
    wave = torch.rand(round(8000 * seconds), generator=torch.Generator().manual_seed(0)) - 0.5
    return MelTrack.of_wave(wave * torch.linspace(0.05, 1, len(wave)), 8000, SPEC)


def test_a_part_is_heard_as_in_the_whole(events):
    heard = track(20)  # 1601 columns: what lies 256 before and after is not all
    columns = heard.columns(0, 240, FPS)
    whole = events(heard.stretch(0, 1601), columns)[0].exp()
    for first, count in ((0, 5), (37, 16), (100, 1), (230, 10)):
        part = sh.kinds_heard(events, heard, first, count, FPS)
        assert torch.allclose(part, whole[first : first + count], atol=1e-5)
    assert whole.std(dim=0).min() > 1e-3


def test_after_the_end_it_is_what_was_heard_last(events):
    heard = track(2)
    p = sh.kinds_heard(events, heard, 20, 20, FPS)
    assert torch.allclose(p.sum(dim=1), torch.ones(20)) and torch.equal(p[4:], p[5:6].expand(16, -1))


def test_a_part_amid_its_neighbours():
    rows = torch.arange(20.0)[:, None]
    seen = []
    for held, first, count in sh.amid(iter(rows.split(6)), 2, 3):
        part = held[first : first + count]
        seen.append(part)
        at = int(part[0])
        assert first == min(at, 2) and (len(held) - first - count >= 3 or held[-1] == 19)
    assert [len(part) for part in seen] == [6, 6, 6, 2] and torch.equal(torch.cat(seen), rows)
    assert list(sh.amid(iter(()), 2, 3)) == []


def test_a_mean_over_neighbours():
    rows = torch.rand(9, 2, generator=torch.Generator().manual_seed(0))
    found = torch.cat(list(sh.averaged(iter(rows.split(4)), 2)))
    for i in range(9):
        weights = {j: np.cos(np.pi / 2 * (j - i) / 3) ** 2 for j in range(9) if abs(j - i) <= 2}
        mean = sum(w * rows[j] for j, w in weights.items()) / sum(weights.values())
        assert torch.allclose(found[i], mean.float(), atol=1e-6)
    assert torch.allclose(torch.cat(list(sh.averaged(iter(rows.split(4)), 0))), rows)


def test_the_likeliest_wins():
    p = torch.tensor([[0.6, 0.3, 0.1], [0.0, 0.5, 0.5]])
    assert torch.allclose(sh.decided(p, 1), p, atol=1e-6)
    assert torch.allclose(sh.decided(p, 4), p**4 / (p**4).sum(dim=1, keepdim=True), atol=1e-6)
    assert torch.allclose(sh.decided(p, 0), torch.full((2, 3), 1 / 3))


def test_kinds_heard_nearby_are_likelier():
    p = torch.rand(30, 3, generator=torch.Generator().manual_seed(0)) + 0.1
    p = p / p.sum(dim=1, keepdim=True)
    found = [torch.cat(list(sh.among_few(iter(p.split(size)), 8))) for size in (4, 30)]
    near = torch.cat(list(sh.averaged(iter([p]), 8)))
    expected = p * near / (p * near).sum(dim=1, keepdim=True)
    assert torch.allclose(found[0], expected, atol=1e-6) and torch.allclose(found[1], expected, atol=1e-6)
    wavering = torch.tensor([[0.9, 0.1]] * 20 + [[0.45, 0.55]] * 4 + [[0.9, 0.1]] * 20)
    assert (torch.cat(list(sh.among_few(iter([wavering]), 20)))[:, 0] > 0.5).all()
    halves = torch.tensor([[0.9, 0.1]] * 20 + [[0.1, 0.9]] * 20)  # as much of one as of the other: both stay
    assert torch.equal(torch.cat(list(sh.among_few(iter([halves]), 60))).argmax(dim=1), halves.argmax(dim=1))
