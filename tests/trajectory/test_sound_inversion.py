from __future__ import annotations

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.trajectory import sound_inversion as si

KINDS = {"trunk": {"dim": 8, "backbone": "test_resnet"}, "kinds": 5, "width": 12, "level_columns": 9}
NET = {"widths": [4, 4, 6, 8, 6], "units": [1, 1, 1, 1], "reduction": 2}
PYRAMID = {"architecture": "pyramid", "network": NET, "sides": [4, 8, 16], "groups": [2, 3, 5]}


def build(values: dict, seed: int = 0) -> si.SoundInversionEncoder:
    """With random weights where it begins at zero too."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        encoder = si.SoundInversionEncoder(values, 10, 6, 16).eval()
        for parameter in encoder.parameters():
            if not parameter.any():
                parameter.data.normal_(0, 0.3)
    return encoder.requires_grad_(False)


def segment(columns: int = 64, rows: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 1, rows, columns, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("values, rows", [(KINDS, 16), (PYRAMID, 64)])
def test_it_begins_at_the_source(values, rows):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = si.SoundInversionEncoder(values, 10, 6, rows).eval()
    assert not encoder(segment(rows=rows)).any()
    again = si.SoundInversionEncoder(encoder.to_dict(), 10, 6, rows)
    assert again.state_dict().keys() == encoder.state_dict().keys()
    assert again.to_dict() == encoder.to_dict()


@pytest.mark.parametrize("values, rows", [(KINDS, 16), (PYRAMID, 64)])
def test_every_weight_learns(values, rows):
    encoder = build(values).requires_grad_(True)
    offsets, own = encoder.shared_and_own(segment(rows=rows))
    assert offsets.shape == own.shape == (2, 10, 6)
    (offsets.square().mean() + own.square().mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


@pytest.mark.parametrize("values, rows", [(KINDS, 16), (PYRAMID, 64)])
def test_what_is_heard_can_be_handed_on(values, rows):
    encoder, mel = build(values), segment(rows=rows)
    if values is PYRAMID:
        assert encoder.events is None
        return
    middle = torch.tensor([31.5])
    assert torch.allclose(encoder(mel, encoder.events(mel, middle)[:, 0]), encoder(mel), atol=tol.FLOAT32)
    other = encoder(mel, encoder.events(segment(rows=rows, seed=1), middle)[:, 0])
    assert (other - encoder(mel)).abs().max() > 1e-4


def test_kinds_say_whither_and_the_level_how_far():
    """The offset is a gain times the mean of the kinds' directions, by how likely each is."""
    encoder, mel = build(KINDS), segment()
    net = encoder.network
    offsets, own = encoder.shared_and_own(mel)
    heard = net.events(mel, torch.tensor([31.5]))[:, 0]
    p = heard.exp()
    assert torch.allclose(p.sum(dim=1), torch.ones(2))
    direction = sum(p[:, k, None, None] * (net.shared[k] + net.own[k]) for k in range(5))
    ratio = offsets / direction
    assert ratio.min() > 0 and torch.allclose(ratio, ratio[:, :1, :1].expand_as(ratio), rtol=tol.HALF)
    assert torch.allclose(own, ratio[:, :1, :1] * torch.einsum("bk,kld->bld", p, net.own), atol=tol.FLOAT32_SUM)
    louder = (mel + 0.1).clamp(max=1)
    change = encoder(louder, heard) / offsets  # of the gain alone
    assert (change - 1).abs().max() > 1e-3 and torch.allclose(
        change, change[:, :1, :1].expand_as(change), rtol=tol.HALF
    )


def test_bands_are_weighed_by_their_width():
    """Bands of unit area: their density times their width, even at the bottom and growing with frequency, is power."""
    net, mel = build(KINDS).network, segment()[:, 0]
    width = np.maximum(np.linspace(0, 1, 16), 0.045)[:, None]
    power = (10 ** (80 * (mel.double().numpy() - 1) / 10) * width).sum(axis=1)
    found = si.level(mel + net._widths(mel[:, None]), 80.0).numpy()
    assert found == pytest.approx(1 + 10 * np.log10(power) / 80, abs=tol.FLOAT32_SUM)


def test_the_level_is_the_sum_of_the_bands_power():
    mel = segment()[:, 0].double()
    power = (10 ** (80 * (mel.numpy() - 1) / 10)).sum(axis=1)
    assert si.level(mel, 80.0).numpy() == pytest.approx(1 + 10 * np.log10(power) / 80, abs=tol.FLOAT64_SUM)


def test_the_middle():
    x = torch.arange(8)
    assert si.middle(x, 3).tolist() == [2, 3, 4] and si.middle(x, 2).tolist() == [3, 4]
    assert si.middle(torch.arange(7), 3).tolist() == [2, 3, 4] and si.middle(x, 99).tolist() == x.tolist()


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="kinds, pyramid"):
        si.SoundInversionEncoder({"architecture": "tower"}, 10, 6, 16)
    with pytest.raises(InputError, match="generator's 10 layers"):
        si.SoundInversionEncoder({**PYRAMID, "groups": [2, 2, 2]}, 10, 6, 16)
    with pytest.raises(InputError, match="512 channels, a latent 6"):
        si.SoundInversionEncoder({"architecture": "pyramid"}, 10, 6, 16)
    with pytest.raises(InputError, match="unknown entry"):
        si.SoundInversionEncoder({**KINDS, "depth": 3}, 10, 6, 16)


def test_the_published_size():
    with torch.device("meta"):
        encoder = si.SoundInversionEncoder({"architecture": "pyramid"}, 16, 512, 256)
    assert sum(p.numel() for p in encoder.parameters()) == 238_293_696


def test_what_is_none_of_the_kinds_moves_nothing():
    """(1 - p_0) gain(x) sum_k p(k | not 0) v_k, against the network without that entry."""
    plain, told = build(KINDS), build({**KINDS, "none": 1}, seed=1)
    same = {k: x for k, x in plain.state_dict().items() if told.state_dict()[k].shape == x.shape}
    told.load_state_dict(told.state_dict() | same)
    mel, p = segment()[:1], torch.tensor([[0.4, 0.1, 0.2, 0.2, 0.1]])
    for none in (0.0, 0.4, 1.0):
        heard = torch.cat([(1 - none) * p, torch.tensor([[none]])], dim=1).clamp(min=1e-9).log()
        assert torch.allclose(told(mel, heard), (1 - none) * plain(mel, p.log()), atol=tol.FLOAT32)
    assert told.to_dict()["none"] == 1 and told.events.out_proj.out_channels == 6


def test_variant_shares_go_round():
    for turns in (0.0, 0.1, 1 / 6, 0.5, 0.9, 2.25):
        found = si.variant_shares(torch.tensor([turns]), 3)[0]
        raw = []
        for j in range(3):
            apart = min(abs(3 * turns - j - 3 * n) for n in range(-2, 9))
            raw.append(max(0.0, 1 - apart))
        wanted = [x / sum(y**1.5 for y in raw) for x in raw]
        assert found.tolist() == pytest.approx(wanted, abs=1e-5)
        assert float(found.pow(1.5).sum()) == pytest.approx(sum(x**1.5 for x in wanted), abs=1e-5)
    assert si.variant_shares(torch.zeros(1), 3).tolist() == [[1, 0, 0]]
    assert si.variant_shares(torch.tensor([7.0]), 3).tolist() == [[1, 0, 0]]


def test_a_kind_goes_round_its_variants_in_the_fine_layers():
    encoder, mel = build({**KINDS, "variants": 3, "cycle_sec": 2.0}), segment()
    net, still = encoder.network, encoder(mel)
    assert torch.equal(encoder(mel, seconds=torch.tensor([0.0, 4.0])), still)
    moved = encoder(mel, seconds=torch.tensor([1.0, 1.7]))
    assert torch.equal(moved[:, :8], still[:, :8]) and (moved - still)[:, 8:].abs().max() > 0.01
    half = encoder(mel, seconds=torch.tensor([1.0, 1.7]), movement=0.5)
    assert torch.allclose(half, (moved + still) / 2, atol=tol.FLOAT32_SUM)
    assert torch.equal(encoder(mel, seconds=torch.tensor([1.0, 1.7]), movement=0.0), still)
    p = net.events(mel, torch.tensor([31.5]))[:, 0].exp()
    for row, turns in enumerate((0.5, 0.85)):
        c = si.variant_shares(torch.tensor([turns]), 3)[0]
        gain = still[row, 0] / sum(p[row, k] * (net.shared[k] + net.own[k, 0]) for k in range(5))
        for layer in (8, 9):
            wanted = sum(
                p[row, k] * (c[0] * net.shared[k] + c[1] * net.variants[0, k] + c[2] * net.variants[1, k] + own)
                for k, own in enumerate(net.own[:, layer])
            )
            assert torch.allclose(moved[row, layer], gain * wanted, atol=tol.FLOAT32_SUM)


def test_what_has_no_variants_does_not_move():
    for values, rows in ((KINDS, 16), (PYRAMID, 64)):
        encoder, mel = build(values), segment(rows=rows)
        assert torch.equal(encoder(mel, seconds=torch.tensor([0.3, 1.7])), encoder(mel))
