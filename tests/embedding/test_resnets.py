"""ResNets beside timm's: the same keys, starting values, outputs and maps."""

from __future__ import annotations

import pytest
import timm
import torch

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.resnets import ResNet, backbone, covers

SHIPPED = {"channels": [8, 12, 16, 24], "stem_width": 8, "global_pool": "catavgmax", "drop_rate": 0.1}
CASES = [
    ("resnet10t", 7, SHIPPED), ("resnet10t", 5, {}), ("resnet18", 6, {}), ("resnet18", 0, {"in_chans": 1}),
    ("resnet50", 4, {}), ("resnet34", 3, {"global_pool": "catavgmax"}),
]  # fmt: skip


def both(name, classes, kwargs):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = timm.create_model(name, num_classes=classes, **kwargs)
        torch.manual_seed(0)
        ours = backbone(name, classes, **kwargs)
    assert type(ours) is ResNet
    return ours, theirs


@pytest.mark.parametrize(("name", "classes", "kwargs"), CASES)
def test_equal_to_timms(name, classes, kwargs):
    ours, theirs = both(name, classes, kwargs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(x, theirs.state_dict()[key]) for key, x in ours.state_dict().items())
    rng = torch.Generator().manual_seed(1)
    for part in theirs.modules():  # what starts at zero would hide its kernels
        if isinstance(part, torch.nn.BatchNorm2d):
            part.weight.data.uniform_(0.5, 1.5, generator=rng)
            part.running_mean.normal_(0, 0.1, generator=rng)
    ours.load_state_dict(theirs.state_dict())
    ours.eval(), theirs.eval()
    x = torch.randn(2, kwargs.get("in_chans", 3), 61, 70, generator=rng)  # sides that no stage halves evenly
    with torch.no_grad():
        mine, wanted = ours(x), theirs(x)
        assert (mine - wanted).abs().max() < tol.FLOAT32_SUM * wanted.abs().max()
        maps = [net.forward_intermediates(x, indices=[2, 4], intermediates_only=True) for net in (ours, theirs)]
        for mine, wanted in zip(*maps):
            assert (mine - wanted).abs().max() < tol.FLOAT32_SUM * wanted.abs().max()
        features = theirs.forward_features(x)
        assert (ours.forward_features(x) - features).abs().max() < tol.FLOAT32_SUM * features.abs().max()
    for mine, wanted in zip(ours.feature_info, theirs.feature_info, strict=True):
        assert all(mine[key] == wanted[key] for key in mine)


def test_training_steps_are_timms():
    ours, theirs = both("resnet10t", 3, {**SHIPPED, "drop_rate": 0.0})
    x = torch.randn(4, 3, 64, 64)
    for net in (ours, theirs):
        net.train()(x).square().sum().backward()
    for (name, mine), wanted in zip(ours.named_parameters(), theirs.parameters()):
        assert torch.allclose(mine.grad, wanted.grad, atol=tol.PARITY * float(wanted.grad.abs().max() + 1e-6)), name


def test_other_backbones_are_timms_own():
    assert not covers("resnet10t", {"drop_path_rate": 0.1}) and not covers("resnet26", {})
    assert not covers("resnet18", {"global_pool": "max"}) and not covers("resnet18", {"channels": [8, 16]})
    assert type(backbone("resnet14t", 2)).__module__.startswith("timm")


@pytest.mark.parametrize("depths", ["x" * 10, [1, 65535], [1] * 500, [], None, [1.5, 2]])
def test_depths_that_no_network_has_are_refused_before_a_block_is_built(depths):
    with pytest.raises(InputError, match="A backbone's depths is"):
        backbone("swin_tiny_patch4_window7_224", 8, depths=depths)
