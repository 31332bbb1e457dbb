"""The systems' settings: light to import, the same choices as the code that they choose from, every one explained."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from soundguide_core.common.settings import KEY, leaves
from soundguide_core.diffusion import guided_denoiser, sampler
from soundguide_core.systems.configs import image_manipulation, projection, video_editing

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = [
    image_manipulation.ManipulationConfig, projection.ProjectionConfig, video_editing.EditConfig,
    video_editing.LeadConfig,
]  # fmt: skip


def test_importing_them_imports_nothing_heavy():
    modules = [path.stem for path in (ROOT / "soundguide_core/systems/configs").glob("[a-z]*.py")]
    code = f"""import importlib, sys
for name in {modules}:
    importlib.import_module("soundguide_core.systems.configs." + name)
assert not {{"torch", "numpy", "diffusers", "librosa"}} & set(sys.modules), sorted(sys.modules)"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_choices_are_those_of_the_code():
    assert set(video_editing.VARIANTS) <= set(guided_denoiser.VARIANTS)
    assert set(video_editing.SAMPLERS) == set(sampler.SOLVERS)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_setting_explains_itself(config):
    config()
    assert all(KEY in each.metadata for each in fields(config))
    for path, leaf in leaves(config).items():
        known = leaf.setting
        assert known.help and not known.help.endswith(".") and "\n" not in known.help, path
        low, high = known.offered or (known.low, known.high)
        if isinstance(leaf.default, float | int) and not isinstance(leaf.default, bool):
            assert (low is None or low <= leaf.default) and (high is None or leaf.default <= high), path
            assert known.low is None or low >= known.low, path
            assert known.high is None or high <= known.high, path
    assert len({leaf.socket for leaf in leaves(config).values()}) == len(leaves(config)), "sockets of one name"


def test_the_paper_of_manipulation_is_the_paper():
    """Lee et al., CVPR 2022, and its released code: run_optimization.py's defaults, the README for landscapes."""
    paper, code = image_manipulation.ManipulationConfig("paper"), image_manipulation.ManipulationConfig("released")
    for found in (paper, code):
        assert (found.space, found.samples, found.crops, found.similarity, found.identity) == ("w+", 0, 0, 0.002, 0.0)
    assert (paper.schedule.steps, paper.schedule.lr, paper.layer_masking) == (300, 0.05, True)
    assert (code.schedule.steps, code.schedule.lr, code.layer_masking) == (300, 0.10, False)


def test_the_paper_of_editing_is_the_paper():
    """S. H. Lee et al. 2023: four terms, the estimate's own movement, grey outside the mask; lambdas of the code."""
    paper, code = video_editing.EditConfig(variant="paper"), video_editing.EditConfig(variant="released")
    for found in (paper, code):
        assert (found.outside_mask, found.flow_on, found.crops, found.scale) == ("grey", "estimate", 7, 1.0)
        assert (found.sampler, found.steps, found.skip, found.smooth_sec) == ("ddpm", 100, 0, 0)
    assert set(paper.weights) == {"sound", "direction", "flow", "background", "perceptual"}
    assert code.weights == {"sound": 1000.0, "flow": 5000.0, "range": 50.0}
    assert video_editing.EditConfig().weights == {"sound": 1.0, "flow": 0.5}


@pytest.mark.parametrize("old", ["steady", "smooth_frames"])
def test_smoothing_in_frames_is_understood(old):
    with pytest.warns(FutureWarning, match=f"EditConfig: {old} is now smooth_sec; taken as smooth_sec=0.5"):
        assert video_editing.EditConfig(**{old: 12}).smooth_sec == 0.5
    with pytest.warns(FutureWarning):  # the default of a variant gives way to it
        assert video_editing.EditConfig("paper", **{old: 6}).smooth_sec == 0.25
