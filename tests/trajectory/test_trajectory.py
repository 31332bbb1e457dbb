from __future__ import annotations

import numpy as np
import pytest
import torch

import tolerances as tol
from soundguide_core.audio.mel import MelSpec
from soundguide_core.common.errors import InputError
from soundguide_core.generators.latents import layer_groups
from soundguide_core.trajectory import trajectory as tr

SPEC = MelSpec(
    sample_rate=8000, n_fft=256, hop_length=100, n_mels=16, fmin=0, fmax=4000, top_db=80,
    columns=64, stride=32, layout="plain", fill="mirror", focus=0, frame_columns=32,
)  # fmt: skip
ENCODER = {"trunk": {"dim": 8, "backbone": "test_resnet"}, "width": 12}
SCALE = torch.tensor([1.7, 0.5, 1.0, 2.0, 0.3, 1.1])
SIZES = {"num_ws": 10, "w_dim": 6, "encoder": ENCODER, "hidden": 5, "noise_dim": 3}


def build(seed: int = 0, scale: float = 0.3, **changes) -> tr.Trajectory:
    """A trajectory whose every weight is random, those that begin at zero too."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = tr.Trajectory(tr.TrajectoryConfig(**{**SIZES, **changes}), SPEC).eval()
        for parameter in model.parameters():
            if not parameter.any():
                parameter.data.normal_(0, scale)
        model.w_avg.normal_()
        model.w_scale.copy_(SCALE)
    return model.requires_grad_(False)


def segments(count: int, seed: int = 0, batch: int = 1) -> torch.Tensor:
    return torch.rand(batch, count, 1, 16, 32, generator=torch.Generator().manual_seed(seed))


def source(batch: int = 1, seed: int = 5) -> torch.Tensor:
    return torch.randn(batch, 10, 6, generator=torch.Generator().manual_seed(seed))


def path_of(model, ws, mels, state=None, seed=None):
    state = model.init_state(ws, model.invert(mels[:, 0], ws), seed=seed) if state is None else state
    return model.rollout(torch.stack([model.invert(mel, ws) for mel in mels.unbind(1)], dim=1), state)


def test_inversion_is_an_offset_from_the_source():
    model, ws, mel = build(), source(2), segments(1)[:, 0]
    offset = model.encoder(mel)
    assert offset.shape == (1, 10, 6) and offset.std() > 0.01
    assert torch.allclose(model.invert(mel, ws), ws + SCALE * offset)


def test_an_untrained_path_stays_at_its_source():
    model = tr.Trajectory(tr.TrajectoryConfig(**SIZES), SPEC).eval()
    ws = source()
    path, _ = path_of(model, ws, segments(4))
    assert torch.allclose(path, ws[:, None].expand_as(path), atol=tol.FLOAT32_SUM)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(cell, x, h):
    """Cho et al. 2014 as PyTorch writes it, in numpy."""
    p = {name: value.double().numpy() for name, value in cell.named_parameters()}
    i, k = p["weight_ih"] @ x + p["bias_ih"], p["weight_hh"] @ h + p["bias_hh"]
    n = len(h)
    r, z = sigmoid(i[:n] + k[:n]), sigmoid(i[n : 2 * n] + k[n : 2 * n])
    candidate = np.tanh(i[2 * n :] + r * k[2 * n :])
    return (1 - z) * candidate + z * h


@pytest.mark.parametrize("groups", ["three", "one"])
def test_the_recurrent_step_is_the_written_equation(groups):
    model = build(groups=groups)
    w, w_hat, ws = (source(1, seed).double().numpy()[0] for seed in (1, 2, 3))
    noise = np.array([0.3, -1.0, 2.0])
    h = {name: np.linspace(-0.5, 0.5, 5) for name in model.steps}
    memories = {name: torch.tensor(x)[None].float() for name, x in h.items()}
    state = tr.TrajectoryState(torch.tensor(w)[None].float(), torch.tensor(ws)[None].float(), memories)
    after = model.step(state, torch.tensor(w_hat)[None].float(), torch.tensor(noise)[None].float())

    w_avg, scale = model.w_avg.double().numpy(), SCALE.double().numpy()
    slices = layer_groups(10) if groups == "three" else {"all": slice(0, 10)}
    for name, layers in slices.items():
        module = model.steps[name]
        last, target, origin = ((x[layers] - w_avg) / scale for x in (w, w_hat, ws))
        x = np.concatenate([(last - target).ravel(), (target - origin).ravel(), origin.ravel(), noise])
        x = module.in_proj.weight.double().numpy() @ x + module.in_proj.bias.double().numpy()
        memory = gru(module.cell, x * sigmoid(x), h[name])
        c = (module.out_proj.weight.double().numpy() @ memory + module.out_proj.bias.double().numpy()).reshape(
            last.shape
        )
        g = sigmoid(module.gate.double().numpy())
        expected = w_avg + scale * (last + g * (target + c - last))
        assert np.abs(after.ws[0, layers].numpy() - expected).max() < 1e-4
        assert np.abs(after.memories[name][0].numpy() - memory).max() < 1e-5


def test_gradients_of_the_recurrent_step_are_right():
    module = build().steps["mid"].double().requires_grad_(True)
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(2, *shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((4, 6), (4, 6), (4, 6), (3,), (5,))
    ]
    assert torch.autograd.gradcheck(module, inputs)
    weights = tuple(p.detach().clone().requires_grad_() for p in module.parameters())
    names = [name for name, _ in module.named_parameters()]

    def step(*weights):
        return torch.func.functional_call(module, dict(zip(names, weights)), tuple(x.detach() for x in inputs))[0]

    assert torch.autograd.gradcheck(step, weights)


def test_groups_are_the_generators():
    assert {name: (s.start, s.stop) for name, s in tr.TrajectoryConfig(**SIZES).layers.items()} == {
        "coarse": (0, 4), "mid": (4, 8), "fine": (8, 10),
    }  # fmt: skip
    assert tr.TrajectoryConfig(**{**SIZES, "groups": "one"}).layers == {"all": slice(0, 10)}
    few = tr.TrajectoryConfig(**{**SIZES, "num_ws": 8})
    assert list(few.layers) == ["coarse", "mid"]
    with pytest.raises(InputError, match="three, one"):
        tr.TrajectoryConfig(**{**SIZES, "groups": "two"})


def test_a_group_moves_its_own_layers_only():
    model, ws, mel = build(), source(), segments(1)[:, 0]
    w_hat = model.invert(mel, ws)
    state = model.init_state(ws, w_hat)
    before = model.step(state, w_hat).ws
    model.steps["mid"].out_proj.bias.data += 1.0
    moved = (model.step(state, w_hat).ws - before).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.tolist() == [False] * 4 + [True] * 4 + [False] * 2


@pytest.mark.parametrize("seed", [None, 3])
def test_a_long_sound_streams(seed):
    model, ws, mels = build(), source(), segments(11)
    whole, _ = path_of(model, ws, mels, seed=seed)
    state, parts = None, []
    for part in mels.split([4, 1, 6], dim=1):
        path, state = path_of(model, ws, part, state, seed=seed)
        parts.append(path)
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=tol.FLOAT32_SUM)


def test_noise_moves_the_path_and_its_seed_repeats_it():
    model, ws, mels = build(), source(), segments(6)
    still, one, again, other = (path_of(model, ws, mels, seed=seed)[0] for seed in (None, 1, 1, 2))
    assert torch.equal(one, again)
    assert (one - still).abs().mean() > 1e-3 and (one - other).abs().mean() > 1e-3


def test_the_first_frames_do_not_jump():
    model = build(scale=0.8)
    mels = segments(1).expand(-1, 6, -1, -1, -1)
    path, _ = path_of(model, source(), mels)
    cold = model.init_state(source(), model.invert(mels[:, 0], source()), warmup=0)
    jump = (path[:, 1] - path[:, 0]).abs().mean()
    assert jump < 0.05 * (path_of(model, source(), mels, cold)[0][:, 0] - path[:, 0]).abs().mean()


def test_a_long_path_stays_where_its_sound_is():
    model, ws = build(scale=1.0), source()
    mel = segments(1)[:, 0]
    w_hat = model.invert(mel, ws)
    state = model.init_state(ws, w_hat, seed=0)
    early, _ = model.rollout(w_hat[:, None].expand(-1, 200, -1, -1), state)
    for _ in range(4):
        late, state = model.rollout(w_hat[:, None].expand(-1, 500, -1, -1), state)
    assert torch.isfinite(late).all()
    assert (late.mean(1) - early.mean(1)).abs().max() < 0.5 * early.std() + 0.2 * early.abs().mean()


def test_a_path_knows_what_its_source_shows():
    """One w_hat, reached from two sources: the modules take different ways, and hold to their own."""
    model, w_hat = build(), source(seed=3)
    one, other = (
        model.rollout(w_hat[:, None].expand(-1, 5, -1, -1), model.init_state(ws, w_hat)) for ws in (w_hat, source())
    )
    assert (one[0] - other[0]).abs().mean() > 1e-2
    assert torch.equal(one[1].source, w_hat) and torch.equal(other[1].source, source())


def test_smoothing_is_an_exponential_mean():
    ws = torch.arange(5.0).view(5, 1, 1)
    expected = [0.0]
    for i in range(1, 5):
        expected.append(0.6 * expected[-1] + 0.4 * i)
    assert tr.smooth(ws, None, 0.6).flatten().tolist() == pytest.approx(expected)
    assert tr.smooth(ws[:2], None, 0.0) is not None and torch.equal(tr.smooth(ws, None, 0.0), ws)
    first = tr.smooth(ws[:2], None, 0.6)
    assert torch.allclose(tr.smooth(ws[2:], first[-1], 0.6), tr.smooth(ws, None, 0.6)[2:])


def test_it_takes_its_scale_from_the_generator():
    class Generator:
        num_ws, w_dim = 10, 6
        w_avg, w_std = torch.arange(6.0), torch.tensor([3.0, 4.0, 0, 0.1, 1, 0])

    model = build()
    model.measure(Generator)
    assert torch.equal(model.w_avg, Generator.w_avg)
    assert model.w_scale.tolist() == pytest.approx([3, 4, 0.2, 0.2, 1, 0.2])
    model.check(Generator)
    Generator.num_ws = 12
    with pytest.raises(InputError, match=r"\[10,6\].*\[12,6\]"):
        model.check(Generator)


def test_saved_and_loaded(tmp_path):
    model, ws, mels = build(groups="one", noise_dim=0), source(), segments(3)
    tr.save_trajectory(tmp_path / "t.safetensors", model, note="n")
    loaded = tr.load_trajectory(tmp_path / "t.safetensors")
    assert loaded.config == model.config and loaded.spec == SPEC
    assert (path_of(loaded, ws, mels)[0] - path_of(model, ws, mels)[0]).abs().max() < 0.05
    assert not any(p.requires_grad for p in loaded.parameters())


def test_wrong_shapes_are_refused():
    model = build()
    with pytest.raises(InputError, match="first latents"):
        model.init_state(source(), torch.zeros(1, 9, 6))
    with pytest.raises(InputError, match="source latents"):
        model.init_state(torch.zeros(1, 10, 5), source())
    with pytest.raises(InputError, match="segments"):
        model.invert(torch.zeros(1, 16, 32), source())


def test_files_of_version_0_1_still_load(tmp_path):
    """Names of modules and of sizes have changed since."""
    from soundguide_core.checkpoints import registry, safetensors_io
    from soundguide_core.trajectory.trajectory import load_trajectory

    tensors, config = safetensors_io.load(registry.find("trajectory", "miniature").files["trajectory"])
    renamed = {"in_proj": "inlet", "out_proj": "outlet", "gain": "amount"}
    old = {}
    for key, x in tensors.items():
        part = next((new for new in renamed if f".{new}." in key and ".events." not in key), "")
        old[key.replace(f".{part}.", f".{renamed[part]}.") if part else key] = x
    encoder = config["trajectory"]["encoder"]
    encoder["loud"] = encoder.pop("level_columns")
    safetensors_io.save(tmp_path / "old.safetensors", old, config, half=True)
    assert "steps.coarse.inlet.weight" in old and "encoder.network.amount.1.bias" in old
    ours, again = load_trajectory("miniature").state_dict(), load_trajectory(tmp_path / "old.safetensors").state_dict()
    assert all(torch.equal(x, again[key]) for key, x in ours.items())
