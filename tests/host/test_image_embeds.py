"""A sound's meaning where pictures' embeddings go, and the refusal where the space is another one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from tiny_nodes import SameVision

import tolerances as tol

pytestmark = pytest.mark.host


class OtherVision:
    """Sees every picture in a space of its own."""

    def __init__(self, dims: int):
        self.dims = dims

    def encode_image(self, image, crop=True):
        return {"image_embeds": torch.randn(len(image), self.dims, generator=torch.Generator().manual_seed(0))}


@pytest.fixture(scope="module")
def world(pack):
    host, load_joint = pack("nodes.host"), pack("soundguide_core.embedding.joint").load_joint
    encoder = host.Model("miniature", lambda device: load_joint("miniature", device), "joint")
    with torch.inference_mode():
        rows = encoder.on_device().encode_text(["rain", "fire", "wind"])
        embeds = pack("nodes.sockets").Embeds(rows[:1], "rain", "miniature", per_frame=rows, fps=12.0)
    refusal = pack("soundguide_core.common.errors").InputError
    return pack("nodes.image_embeds").SoundToImageEmbeds, encoder, embeds, refusal


def test_rows_are_the_meaning_in_the_measure_of_pictures(world):
    node, encoder, embeds, _ = world
    with torch.inference_mode():
        rows, zeros, output, said = node.execute(encoder, embeds, SameVision(encoder)).args
    assert torch.allclose(rows.norm(dim=1), torch.full((3,), 20.0), atol=tol.HALF)
    assert torch.allclose(F.normalize(rows, dim=1), embeds.per_frame, atol=tol.FLOAT32_SUM)
    assert zeros.shape == rows.shape and not zeros.any() and "The same space" in said
    assert torch.allclose(output["image_embeds"], 20 * embeds.whole, atol=tol.HALF)


def test_a_curve_multiplies_the_rows(world):
    node, encoder, embeds, InputError = world
    with torch.inference_mode():
        rows = node.execute(encoder, embeds, SameVision(encoder), curve=[0.0, 0.5, 1.0]).args[0]
    assert torch.allclose(rows.norm(dim=1), torch.tensor([0.0, 10.0, 20.0]), atol=tol.HALF)
    with pytest.raises(InputError, match="2 values of the curve meet 3 rows"), torch.inference_mode():
        node.execute(encoder, embeds, SameVision(encoder), curve=[0.0, 0.5])


def test_another_space_is_refused_by_name(world):
    node, encoder, embeds, InputError = world
    dims = embeds.whole.shape[1]
    with torch.inference_mode():
        with pytest.raises(InputError, match=f"miniature hears in a space of {dims} numbers.*one of 1024"):
            node.execute(encoder, embeds, OtherVision(1024))
        with pytest.raises(InputError, match="miniature hears in another space"):
            node.execute(encoder, embeds, OtherVision(dims))
        with pytest.raises(InputError, match="No CLIP Vision model"):
            node.execute(encoder, embeds, None)


def test_the_hosts_unclip_conditioning_takes_the_output(world):
    from nodes import unCLIPConditioning

    node, encoder, embeds, _ = world
    with torch.inference_mode():
        output = node.execute(encoder, embeds, SameVision(encoder)).args[2]
        made = unCLIPConditioning().apply_adm([[torch.zeros(1, 4, 8), {}]], output, 1.0, 0.0)[0]
    assert torch.equal(made[0][1]["unclip_conditioning"][0]["clip_vision_output"].image_embeds, output.image_embeds)
