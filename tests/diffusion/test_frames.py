from __future__ import annotations

import pytest
import torch

from soundguide_core.common.errors import InputError
from soundguide_core.diffusion.frames import Layout


def test_frames_of_a_batch_of_times_and_of_a_pack():
    batch = torch.rand(5, 4, 3, 2)
    assert torch.equal(Layout().frames_of(batch), batch)
    video = torch.rand(2, 4, 5, 3, 2)
    found = Layout().frames_of(video)
    assert found.shape == (10, 4, 3, 2)
    for b in range(2):
        for t in range(5):
            assert torch.equal(found[5 * b + t], video[b, :, t])
    sound = torch.rand(2, 3, 7)
    packed = torch.cat([sound.reshape(2, 1, -1), video.reshape(2, 1, -1), sound.reshape(2, 1, -1)], dim=2)
    layout = Layout((sound.shape, video.shape, sound.shape), part=1)
    assert torch.equal(layout.frames_of(packed), found)


@pytest.mark.parametrize("shape", [(5, 4, 3, 2), (2, 4, 5, 3, 2), (3, 4, 1, 2, 2)])
def test_there_and_back(shape):
    z, other = torch.rand(shape), torch.rand(shape)
    assert torch.equal(Layout().latent_of(Layout().frames_of(other), z), other)


def test_in_a_pack_the_rest_stays():
    z, other = torch.rand(1, 1, 4 * 5 + 6), torch.rand(5, 4, 1, 1)
    layout = Layout(((1, 4, 5, 1, 1), (1, 6)))
    found = layout.latent_of(other, z)
    assert torch.equal(layout.frames_of(found), other) and torch.equal(found[..., 20:], z[..., 20:])
    with pytest.raises(InputError, match="smaller than its parts"):
        layout.frames_of(z[..., :10])
