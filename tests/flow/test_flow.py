"""Flow points the right way, warps undo it, and what is hidden is known to be hidden."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.models import optical_flow

import tolerances as tol
from soundguide_core.common.errors import InputError
from soundguide_core.flow.estimators import RAFT, TVL1, flow_names, load_flow  # fmt: skip
from soundguide_core.flow.optical_flow import Flow, backward_warp, estimate_flow, flow_picture, visible

SIZE = 64


def texture(h: int = SIZE, w: int = SIZE, seed: int = 0) -> torch.Tensor:
    """A smooth picture without repeats, [1,3,h,w] in -1..1."""
    noise = torch.rand(1, 3, h, w, generator=torch.Generator().manual_seed(seed))
    smooth = F.avg_pool2d(F.pad(noise, (3, 3, 3, 3), mode="reflect"), 7, 1)
    return ((smooth - 0.5) * 6).clamp(-1, 1)


def panned(x: float, y: float, count: int = 2, h: int = SIZE, w: int = SIZE) -> torch.Tensor:
    """Frames whose content moves by (x, y) pixels from each to the next, cut out of a larger picture."""
    wide = texture(h + 40, w + 40)
    frames = []
    for i in range(count):
        top, left = 20 - i * y, 20 - i * x
        rows, columns = (torch.arange(n) + start for n, start in ((h, top), (w, left)))
        down, right = (a / (n - 1) * 2 - 1 for a, n in ((rows, h + 40), (columns, w + 40)))
        grid = torch.stack(torch.meshgrid(down, right, indexing="ij")[::-1], -1)[None].float()
        frames.append(F.grid_sample(wide, grid, mode="bicubic", align_corners=True))
    return torch.cat(frames).clamp(-1, 1)


def constant(x: float, y: float, h: int = SIZE, w: int = SIZE) -> torch.Tensor:
    return torch.tensor([x, y]).float().view(1, 2, 1, 1).expand(1, 2, h, w)


@pytest.fixture(scope="module")
def five() -> tuple[torch.Tensor, Flow]:
    """A video that moves five pixels to the right, and its flow as it is found."""
    frames = panned(5, 0)
    return frames, estimate_flow(frames, TVL1())


def test_five_pixels_to_the_right(five):
    _, flow = five
    inner = (..., slice(8, -8), slice(12, -12))
    assert flow.fw[inner].sub(constant(5, 0, 1, 1)).abs().median() < 0.1
    assert flow.bw[inner].add(constant(5, 0, 1, 1)).abs().median() < 0.1


def test_the_pairing_of_flow_and_frame(five):
    """warp(x_{i+1}, fw) is x_i and warp(x_i, bw) is x_{i+1}; the other way round it is worse than no warp at all."""
    (before, after), flow = five[0].split(1), five[1]
    inner = (..., slice(12, -12), slice(12, -12))

    def mse(a, b):
        return (a - b)[inner].square().mean().item()

    still = mse(before, after)
    assert mse(before, backward_warp(after, flow.fw)) < still / 100
    assert mse(after, backward_warp(before, flow.bw)) < still / 100
    assert mse(before, backward_warp(after, flow.bw)) > still / 2
    assert mse(after, backward_warp(before, flow.fw)) > still / 2


@pytest.mark.parametrize("x, y", [(0, -3), (-4, 2)])
def test_directions(x, y):
    flow = estimate_flow(panned(x, y), TVL1())
    inner = (..., slice(8, -8), slice(8, -8))
    assert torch.allclose(flow.fw[inner].mean((2, 3)), torch.tensor([[x, y]]).float(), atol=0.15)
    assert torch.allclose(flow.bw[inner].mean((2, 3)), torch.tensor([[-x, -y]]).float(), atol=0.15)


def test_parts_of_a_pixel():
    flow = estimate_flow(panned(0.5, -0.25), TVL1())
    assert (flow.fw[..., 8:-8, 8:-8] - constant(0.5, -0.25, 1, 1)).abs().mean() < 0.15


def test_warp_of_whole_pixels_is_a_roll_and_the_border_goes_on():
    x = torch.rand(2, 3, 9, 14)
    warped = backward_warp(x, constant(5, -2, 9, 14).expand(2, -1, -1, -1))
    assert torch.allclose(warped[:, :, 2:, :-5], x[:, :, :-2, 5:], atol=tol.FLOAT32_SUM)
    assert torch.allclose(warped[:, :, 2:, -5:], x[:, :, :-2, -1:].expand(-1, -1, -1, 5), atol=tol.FLOAT32_SUM)
    assert torch.allclose(warped[:, :, :2, :-5], x[:, :, :1, 5:].expand(-1, -1, 2, -1), atol=tol.FLOAT32_SUM)


def test_warp_between_pixels_by_hand():
    x, flow = torch.rand(1, 2, 6, 7, dtype=torch.float64), torch.rand(1, 2, 6, 7, dtype=torch.float64) * 6 - 3
    warped = backward_warp(x, flow)
    for row in range(6):
        for column in range(7):
            at_x = min(max(column + flow[0, 0, row, column].item(), 0), 6)
            at_y = min(max(row + flow[0, 1, row, column].item(), 0), 5)
            x0, y0 = min(math.floor(at_x), 5), min(math.floor(at_y), 4)
            a, b = at_x - x0, at_y - y0
            by_hand = (
                (1 - a) * (1 - b) * x[0, :, y0, x0] + a * (1 - b) * x[0, :, y0, x0 + 1]
                + (1 - a) * b * x[0, :, y0 + 1, x0] + a * b * x[0, :, y0 + 1, x0 + 1]
            )  # fmt: skip
            assert torch.allclose(warped[0, :, row, column], by_hand, atol=tol.FLOAT64)


def test_gradients_pass_through_the_warp():
    torch.manual_seed(0)
    x = torch.rand(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    flow = (torch.rand(1, 2, 4, 5, dtype=torch.float64) * 0.4 + 0.2).requires_grad_()  # away from whole pixels
    assert torch.autograd.gradcheck(backward_warp, (x, flow))


def test_what_a_moving_square_covers_is_not_seen():
    """A square moves 6 to the right over a still ground; its flow is known, so the hidden strip is too."""
    fw, bw = torch.zeros(1, 2, 32, 32), torch.zeros(1, 2, 32, 32)
    fw[:, 0, 8:24, 6:18], bw[:, 0, 8:24, 12:24] = 6, -6
    hidden, uncovered = torch.zeros(32, 32), torch.zeros(32, 32)
    hidden[8:24, 18:24], uncovered[8:24, 6:12] = 1, 1
    assert torch.equal(visible(fw, bw)[0, 0], 1 - hidden)
    assert torch.equal(visible(bw, fw)[0, 0], 1 - uncovered)


def test_what_leaves_the_picture_is_not_seen(five):
    _, flow = five
    assert flow.visible_fw[..., -4:].mean() == 0 and flow.visible_bw[..., :4].mean() == 0
    assert flow.visible_fw[..., 8:-8, 12:-12].mean() > 0.98
    out = visible(constant(5, 0), constant(-5, 0))
    assert torch.equal(out[0, 0, 0], (torch.arange(SIZE) + 5 <= SIZE - 0.5).float())


def test_an_estimated_square_hides_its_ground():
    ground, square = texture(48, 48), texture(16, 16, seed=1)
    frames = ground.repeat(2, 1, 1, 1)
    frames[0, :, 16:32, 12:28], frames[1, :, 16:32, 16:32] = square[0], square[0]
    flow = estimate_flow(frames, TVL1())
    assert flow.visible_fw[0, 0, 18:30, 28:32].mean() < 0.5 < flow.visible_fw[0, 0, :8].mean()
    assert flow.fw[0, 0, 18:30, 15:25].mean() == pytest.approx(4, abs=0.5)


def test_resized_vectors_grow_with_the_frames(five):
    _, flow = five
    twice = flow.resized(2 * SIZE, 3 * SIZE)
    assert twice.size == (2 * SIZE, 3 * SIZE) and len(twice) == 1
    assert twice.fw[:, 0].mean() == pytest.approx(3 * flow.fw[:, 0].mean().item(), rel=0.02)
    tilted = Flow(constant(4, 2), constant(-4, -2), *(torch.ones(1, 1, SIZE, SIZE) for _ in range(2)))
    half = tilted.resized(SIZE // 2, SIZE // 4)
    assert torch.allclose(half.fw, constant(1, 1, SIZE // 2, SIZE // 4), atol=tol.FLOAT32_SUM)
    assert torch.allclose(half.visible_bw, torch.ones(1, 1, SIZE // 2, SIZE // 4), atol=tol.FLOAT32_SUM)
    assert tilted.resized(SIZE, SIZE) is tilted


def test_a_slice_is_the_flow_of_some_frames_and_chunks_change_nothing():
    frames = panned(1, 1, count=4, h=17, w=23)
    flow, one_by_one = (estimate_flow(frames, TVL1(), chunk) for chunk in (8, 1))
    assert len(flow) == 3 and flow.size == (17, 23)
    part, alone = flow[1:3], estimate_flow(frames[1:4], TVL1())
    for name in ("fw", "bw", "visible_fw", "visible_bw"):
        # a batch of another size may take another kernel of PyTorch: 3e-6 apart was seen
        assert torch.allclose(getattr(flow, name), getattr(one_by_one, name), atol=tol.FLOAT32_SUM)
        assert torch.allclose(getattr(part, name), getattr(alone, name), atol=tol.FLOAT32_SUM)


def test_one_frame_has_no_pairs():
    flow = estimate_flow(texture(), TVL1())
    assert len(flow) == 0 and len(flow.resized(8, 8)) == 0
    assert backward_warp(torch.zeros(0, 3, SIZE, SIZE), flow.fw).shape == (0, 3, SIZE, SIZE)


@pytest.mark.parametrize("size", [(64, 64), (1, 1), (5, 40)])
def test_plain_pictures_stand_still(size):
    flow = estimate_flow(torch.full((2, 3, *size), 0.3), TVL1())
    assert flow.fw.abs().max() == 0 and flow.visible_fw.min() == 1


def test_progress_and_stop():
    seen = []

    def on_step(i, n, terms, preview):
        seen.append((i, n, preview().shape))
        if i == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        estimate_flow(panned(1, 0, count=6, h=16, w=16), TVL1(), chunk=2, on_step=on_step)
    assert seen == [(0, 3, (2, 3, 16, 16)), (1, 3, (2, 3, 16, 16))]


def test_colours_say_the_direction():
    still, right, left = flow_picture(torch.cat([constant(x, 0) for x in (0, 4, -4)]))
    assert torch.equal(still, torch.ones(3, SIZE, SIZE))
    assert (right[:, 0, 0] - left[:, 0, 0]).abs().max() > 1


def test_sizes_that_do_not_fit():
    with pytest.raises(InputError, match=r"meets pictures of shape \[1, 3, 8, 8\]"):
        backward_warp(torch.zeros(1, 3, 8, 8), torch.zeros(1, 2, 8, 9))
    with pytest.raises(InputError, match="visible_bw of the flow"):
        Flow(torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 3))


# ---- RAFT


@pytest.fixture(scope="module")
def raft_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("flow") / "raft_small_C_T_V2-01064c6d.pth"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        torch.save(optical_flow.raft_small(weights=None).state_dict(), path)
    return path


def test_raft_is_torchvisions(raft_file):
    theirs = optical_flow.raft_small(weights=None).eval()
    theirs.load_state_dict(torch.load(raft_file, weights_only=True))
    ours = load_flow(raft_file)
    assert isinstance(ours, RAFT) and not any(p.requires_grad for p in ours.parameters())
    img, target = texture(128, 136).split(1)[0], texture(128, 136, seed=1)
    with torch.no_grad():
        assert (ours(img, target) - theirs(img, target)[-1]).abs().max() < 1e-5


def test_raft_takes_any_size(raft_file):
    """A picture in the middle of its own repeated border gives what the border picture gives there."""
    ours = load_flow(raft_file)
    img, target = texture(131, 50), texture(131, 50, seed=1)
    wide = [F.pad(x, (39, 39, 2, 3), mode="replicate") for x in (img, target)]
    with torch.no_grad():
        whole = ours.network(*wide)[-1]
        assert whole.shape[2:] == (136, 128)
        assert torch.equal(ours(img, target), whole[..., 2:-3, 39:-39])


def test_both_sizes_of_raft_are_known():
    from soundguide_core.checkpoints import registry

    rows = [row for row in registry.rows() if row.kind == "flow"]
    assert {row.name for row in rows} == {"raft-large", "raft-small"}
    for row in rows:
        with torch.device("meta"):
            network = getattr(optical_flow, row.name.replace("-", "_"))(weights=None)
        assert sum(p.numel() for p in network.parameters()) == row.parameters


def test_names(tmp_path):
    assert flow_names()[0] == "tv-l1" and isinstance(load_flow(), TVL1)
    (tmp_path / "frames.pth").write_text("no weights", encoding="utf-8")
    with pytest.raises(InputError):
        load_flow(tmp_path / "frames.pth")
    with pytest.raises(InputError, match="no flow called 'fast'"):
        load_flow("fast")
