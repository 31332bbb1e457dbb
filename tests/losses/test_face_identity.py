"""ArcFace on IR-SE50 from its published layout: the same embeddings; the cut of the face; the identity term."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from soundguide_core.checkpoints.formats import ir_se50
from soundguide_core.common.errors import InputError
from soundguide_core.embedding.ir_se import ArcFace, IRSEConfig
from soundguide_core.losses.identity import FaceIdentity, identity_distance, load_identity


@pytest.fixture(scope="module")
def stored(parity):
    return parity.read("ir_se50")


@torch.no_grad()
def test_embeddings(stored, parity, tmp_path):
    tensors, states, _ = stored
    torch.save(states["quarter"], tmp_path / "model_ir_se50.pth")
    face = load_identity(tmp_path / "model_ir_se50.pth")
    out = face.network(tensors["quarter.x"].float())
    assert parity.far(out, tensors["quarter.out"]) < 1e-6 and torch.allclose(out.norm(dim=1), torch.ones(2))


def test_published_sizes(stored):
    tensors, config = ir_se50.convert(stored[1]["full"])
    with torch.device("meta"):
        network = ArcFace(IRSEConfig.from_dict(config["arcface"]))
    assert network.config == IRSEConfig() and len(tensors) == 397
    assert sum(p.numel() for p in network.parameters()) == 43_797_696
    assert {k: x.shape for k, x in network.state_dict().items()} == {k: x.shape for k, x in tensors.items()}


def test_the_cut_and_the_term():
    seen = []
    tiny = IRSEConfig((4, 4, 8), (1, 1), 4, dim=6, side=32)

    class Watch(torch.nn.Module):
        config = tiny

        def forward(self, x):
            seen.append(x)
            return F.normalize(x.mean(3).flatten(1), dim=-1)

    face = FaceIdentity(Watch())
    img = torch.rand(1, 3, 512, 512, requires_grad=True)
    distance = identity_distance(face, img, torch.rand(1, 3, 256, 256))
    want = F.adaptive_avg_pool2d(F.avg_pool2d(img, 2)[:, :, 35:223, 32:220], 32)
    assert torch.allclose(seen[1], want) and distance.shape == (1,)
    distance.sum().backward()
    assert img.grad[..., 80:400, 80:400].abs().sum() > 0 and not img.grad[..., :60, :].any()


def test_refusals(stored, tmp_path):
    with pytest.raises(InputError, match="body.24"):
        ir_se50.convert({**stored[1]["quarter"], "body.24.odd": torch.zeros(1)})
    assert not ir_se50.recognises({"input_layer.0.weight": torch.zeros(1)})
    with pytest.raises(InputError, match="must be|expected|shape"):
        ArcFace(IRSEConfig((4, 4, 8), (1, 1), 4, dim=6, side=32))(torch.zeros(1, 3, 64, 64))
