"""The UNet's attention: both ways give the same, and which is taken."""

from __future__ import annotations

import pytest
import torch


def both(dtype: torch.dtype, side: int = 4):
    """(attention of a UNet, by diffusers' fused way; the same by ours; which processors ours asked), gradients too."""
    from soundguide_core.diffusion.attention import QuickerAttention
    from soundguide_core.diffusion.with_diffusers import Attention, AttnProcessor2_0

    torch.manual_seed(0)
    attn = Attention(32, heads=2, dim_head=16, norm_num_groups=8, residual_connection=True, bias=True).to(dtype)
    ours, asked = QuickerAttention(), []
    for name in ("in_parts", "fused"):
        way = getattr(ours, name)
        setattr(ours, name, lambda *args, name=name, way=way: (asked.append(name), way(*args))[1])
    x = torch.randn(3, 32, side, side).to(dtype)
    results = []
    for processor in (AttnProcessor2_0(), ours):
        leaf = x.clone().requires_grad_()
        out = processor(attn, leaf)
        results.append((out.detach(), torch.autograd.grad(out.square().sum(), leaf)[0]))
    return *results, asked


@pytest.mark.parametrize("dtype, way, near", [(torch.float32, "fused", 0.0), (torch.bfloat16, "in_parts", 0.03)])
def test_attention_takes_the_quicker_way_to_the_same(diffusers, dtype, way, near):
    fused, ours, asked = both(dtype)
    assert asked == [way]
    for expected, found in zip(fused, ours):
        assert (found - expected).norm() <= near * expected.norm()


def test_many_tokens_are_left_to_the_kernel_that_keeps_no_matrix(diffusers):
    assert both(torch.bfloat16, side=34)[2] == ["fused"]


def test_every_attention_of_a_unet_takes_it(diffusers):
    from soundguide_core.diffusion.attention import QuickerAttention
    from soundguide_core.diffusion.unet import UNet

    unet = UNet(
        sample_size=16, block_out_channels=[32, 32], layers_per_block=1,
        down_block_types=["DownBlock2D", "AttnDownBlock2D"], up_block_types=["AttnUpBlock2D", "UpBlock2D"],
    )  # fmt: skip
    found = [m.processor for m in unet.modules() if hasattr(m, "processor")]
    assert len(found) == 4 and all(isinstance(each, QuickerAttention) for each in found)
