from __future__ import annotations

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.audio.mel import MelSpec
from soundguide_core.audio.track import MelTrack
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.joint import load_joint
from soundguide_core.embedding.sound import SoundEncoder, SoundEncoderConfig
from soundguide_core.trajectory import sound_events as se

SPEC = MelSpec(
    sample_rate=8000, n_fft=256, hop_length=100, n_mels=16, fmin=0, fmax=4000, top_db=80,
    columns=64, stride=32, layout="plain", fill="mirror", focus=0, frame_columns=20,
)  # fmt: skip
FPS = 12.0
TRUNK = {"dim": 8, "backbone": "test_resnet"}


def build(trunk: dict = TRUNK, rows: int = 16, scale: float = 0.5) -> se.SoundEvents:
    """With random weights where it begins at zero too."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        events = se.SoundEvents(trunk, rows, kinds=5, width=12, dilations=(1, 2, 4)).eval()
        for parameter in events.parameters():
            if not parameter.any():
                parameter.data.normal_(0, scale)
    return events.requires_grad_(False)


def stretch(columns: int = 300, rows: int = 16) -> torch.Tensor:
    return torch.rand(2, 1, rows, columns, generator=torch.Generator().manual_seed(0))


def test_likelihoods_at_any_moment():
    events, mel = build(), stretch()
    found = events(mel, torch.tensor([0.0, 13.7, 299.0]))
    assert found.shape == (2, 3, 5) and torch.allclose(found.exp().sum(dim=-1), torch.ones(2, 3))
    apart = events(mel, torch.tensor([[0.0, 13.7], [299.0, 5.0]]))
    assert torch.allclose(apart[0], found[0, :2]) and torch.allclose(apart[1, 0], found[1, 2])
    assert events.steps == sorted(events.steps) and all(step % events.steps[0] == 0 for step in events.steps)


def test_every_weight_learns():
    events = build().requires_grad_(True)
    events(stretch(), torch.arange(0, 300, 7.0))[..., 0].mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in events.parameters())


@pytest.mark.parametrize("trunk", [TRUNK, None])
def test_nothing_beyond_the_reach_counts(trunk):
    """Of the tests' trunk and of the miniature's."""
    rows = 16
    if trunk is None:
        joint = load_joint("miniature")
        trunk, rows = joint.sound.to_config(), joint.spec.n_mels
    events = build(trunk, rows)
    for at in range(600, 600 + events.steps[-1], 7):  # wherever it lies in the coarsest map
        mel = stretch(1200, rows)[:1].requires_grad_()
        (events(mel, torch.tensor([float(at)])) * torch.tensor([2.0, -1.0, 0.5, 1.5, 3.0])).sum().backward()
        seen = torch.nonzero(mel.grad.abs().sum(dim=(0, 1, 2)))[:, 0]
        assert at - events.reach <= seen.min() < at - 60 and at + 60 < seen.max() <= at + events.reach


def test_any_padding_rows_and_length():
    """A trunk of the released kind, whose first convolution has no padding; odd numbers of bands, a single column."""
    for rows in (16, 34, 129):
        events = build({**TRUNK, "padding": 0}, rows)
        assert events(stretch(1, rows), torch.tensor([0.0])).shape == (2, 1, 5)
    with pytest.raises(InputError, match="stretch of sound"):
        events(torch.zeros(2, 16, 30), torch.tensor([0.0]))


def test_moments_between_two_steps_are_linear_in_their_scores():
    scores = torch.randn(1, 3, 6, generator=torch.Generator().manual_seed(0))
    at = torch.tensor([0.0, 1.25, 4.5, 5.0, 9.0, -1.0])
    found = se._at(scores, at)[0].numpy()
    for k in range(3):
        assert found[:, k] == pytest.approx(
            np.interp(at.numpy(), np.arange(6), scores[0, k].numpy()), abs=tol.FLOAT32_SUM
        )
    assert torch.equal(se._at(scores[..., :1], at)[0], scores[0, :, 0].expand(6, -1))


def test_a_coarser_map_lies_where_the_finer_one_does():
    """Entry i of a map of half the size belongs to entry 2 i, as both are centred there by their padding."""
    x = torch.arange(5.0).expand(1, 2, 5)
    assert torch.allclose(se._finer(x, 2, 9)[0, 0], torch.arange(9.0) / 2)
    assert se._finer(x, 2, 10)[0, 0, -1] == 4 and se._finer(x, 4, 16).shape == (1, 2, 16)
    assert torch.equal(se._finer(x, 1, 5), x)


def test_dilated_convolutions_by_hand():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        block = se.Dilated(4, 3).eval()
    x = torch.randn(1, 4, 20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block(x), x)  # it begins so
    block.out.weight.data.normal_()
    silu = lambda v: v / (1 + np.exp(-v))  # noqa: E731
    y = x[0].double().numpy()
    y = silu((y - y.mean(axis=0)) / np.sqrt(y.var(axis=0) + 1e-5))
    weight, bias = (p.detach().double().numpy() for p in (block.along.weight, block.along.bias))
    mixed = np.zeros((4, 20))
    for t in range(20):
        for tap in range(5):
            at = t + 3 * (tap - 2)
            if 0 <= at < 20:
                mixed[:, t] += weight[:, :, tap] @ y[:, at]
    out = block.out.weight.detach().double().numpy()[..., 0] @ silu(mixed + bias[:, None])
    assert np.abs(block(x)[0].detach().numpy() - (x[0].numpy() + out)).max() < 1e-4


def test_it_begins_with_the_ears_of_an_encoder():
    heard = SoundEncoder(SoundEncoderConfig(8, "test_resnet", padding=1, prototypes=3)).eval()
    events = build()
    before = events.trunk.conv.weight.clone()
    events.take_trunk(heard)
    assert torch.equal(events.trunk.conv.weight, heard.conv.weight) and not torch.equal(before, heard.conv.weight)
    mel = stretch(64)
    expected = heard.feature_extractor.forward_features(heard.conv(mel))
    assert torch.allclose(events.trunk.feature_extractor.forward_features(events.trunk.conv(mel)), expected)


def track(seconds: float) -> MelTrack:
    wave = torch.rand(round(8000 * seconds), generator=torch.Generator().manual_seed(0)) - 0.5
    return MelTrack.of_wave(wave * torch.linspace(0.05, 1, len(wave)), 8000, SPEC)


def test_a_part_is_heard_as_in_the_whole():
    events = build(scale=1.0)
    heard = track(20)  # 1601 columns: what lies 256 before and after is not all
    columns = heard.columns(0, 240, FPS)
    whole = events(heard.stretch(0, 1601), columns)[0].exp()
    for first, count in ((0, 5), (37, 16), (100, 1), (230, 10)):
        part = se.event_posteriors(events, heard, first, count, FPS)
        assert torch.allclose(part, whole[first : first + count], atol=tol.FLOAT32_SUM)
    assert whole.std(dim=0).min() > 1e-3


def test_after_the_end_it_is_what_was_heard_last():
    events = build()
    heard = track(2)
    p = se.event_posteriors(events, heard, 20, 20, FPS)
    assert torch.allclose(p.sum(dim=1), torch.ones(20)) and torch.equal(p[4:], p[5:6].expand(16, -1))
