"""Coming to rest: what it is taught, that it is learned, and that a run in parts is the whole."""

import torch

from soundguide_core.checkpoints import safetensors_io
from soundguide_core.common.rng import torch_generator
from soundguide_core.miniature.training import rest
from soundguide_core.miniature.world.scenes import PHENOMENA
from soundguide_core.training.engine.metrics_log import read_metrics
from soundguide_core.training.recipe import merged, read_recipe


def recipe(**training):
    return merged(read_recipe("rest"), {"training": {"steps": 4, "batch": 4, "frames": 2, **training}})


def losses(out):
    return [float(row["value"]) for row in read_metrics(out / "metrics.csv") if row["name"] == "latents"]


def test_amounts_are_of_one_phenomenon_between_none_and_all():
    found = rest.amounts(64, 6, torch_generator(0, 0))
    assert found.shape == (64, 6, len(PHENOMENA))
    assert found.min() == 0 and found.max() <= 1
    assert ((found > 0).any(dim=1).sum(dim=1) <= 1).all()
    at_rest = (found[:, -1].sum(dim=1) == 0).float().mean()
    assert 0.3 < at_rest < 0.8  # half of them end in nothing


def test_a_run_in_parts_is_the_whole(tmp_path):
    config = recipe()
    config["run"] = {"log_every": 1}
    whole = rest.run(config=config, out=tmp_path / "whole")
    config["run"]["max_time"] = 1e-6  # one step, each time
    for i in range(4):
        parts = rest.run(config=config, out=tmp_path / "parts", resume=i > 0)
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts") and len(losses(tmp_path / "whole")) == 4
    one, other = safetensors_io.load(whole)[0], safetensors_io.load(parts)[0]
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_and_leaves_what_hears_and_the_gates(tmp_path):
    """From recurrent modules that know nothing of rest: their last layers made random."""
    from soundguide_core.trajectory.trajectory import load_trajectory, save_trajectory

    before = load_trajectory()
    with torch.no_grad():
        for name, p in before.steps.named_parameters():
            if name.endswith("weight"):
                p.add_(0.05 * torch.randn(p.shape, generator=torch_generator(1, p.numel())))
    save_trajectory(tmp_path / "before.safetensors", before, half=False)
    config = recipe(steps=24, batch=8, lr=3e-3)
    config["models"]["trajectory"] = str(tmp_path / "before.safetensors")
    config["run"] = {"log_every": 6}
    found = load_trajectory(rest.run(config=config, out=tmp_path / "out"))
    first, *_, last = losses(tmp_path / "out")
    assert last < 0.8 * first
    heard = {k: v for k, v in before.state_dict().items() if not k.startswith("steps.") or k.endswith("gate")}
    assert heard and all(torch.allclose(v, found.state_dict()[k], atol=1e-2) for k, v in heard.items())


def test_weathers_become_variants_as_strong_as_the_first():
    from soundguide_core.miniature.data.scene_clips import phenomenon_dim
    from soundguide_core.trajectory.trajectory import load_trajectory

    before = load_trajectory()
    moving = rest.with_weathers(before, 2.0, 6)
    assert torch.equal(moving.encoder.network.shared, before.encoder.network.shared)
    for k in range(len(PHENOMENA)):
        first = phenomenon_dim(k)
        along = before.w_scale[first] * before.encoder.network.shared[k, first]
        for j in (1, 2):
            variant = before.w_scale * moving.encoder.network.variants[j - 1, k]
            torch.testing.assert_close(variant[first + j], along)
            assert variant[first] == 0
    # what the recurrent modules are taught: only layers from there on go round, the first weather at the begin
    sources = rest.Sources(rest.load_generator(), rest.SceneCodes(), psi=0.5, calm=0.2, jitter=0.1)
    training = rest.RestTraining(recipe(cycle_sec=2.0, moves_from=8)["training"], before, sources, "cpu", 0)
    shown = torch.ones(1, 2, len(PHENOMENA))
    departure = training.departure(shown, torch.zeros(1, 12, 128), torch.tensor([1 / 3]))
    still = rest.departures(shown, 128).expand(-1, -1, 12, -1)
    assert torch.equal(departure[:, :, :8], still[:, :, :8])
    torch.testing.assert_close(departure[:, 0, 8:], rest.departures(shown, 128, 1).expand(-1, -1, 4, -1)[:, 0])
