from __future__ import annotations

import json

import pytest
import torch

from soundguide_core.cli import main
from soundguide_core.media.video_writing import writing


@pytest.fixture
def videos(tmp_path):
    for k in range(3):
        rng = torch.Generator().manual_seed(k)
        (tmp_path / "made").mkdir(exist_ok=True)
        with writing(tmp_path / "made" / f"{k}.mp4", 12.0) as write:
            write((torch.rand(1, 3, 32, 32, generator=rng) * 2 - 1).expand(18, -1, -1, -1))
    return tmp_path / "made"


def figures(*args) -> dict:
    report = args[0].parent / "report.json"
    assert main(["evaluate", "videos", *map(str, args), "--device", "cpu", "--json", str(report)]) == 0
    return json.loads(report.read_text())


def test_a_folder_against_itself(videos, tiny):
    found = figures(videos, "--real", videos, "--labels", "rain,fire", "--joint", tiny.joint, "--window", "6")
    assert found["videos"] == 3 and found["frechet"] == {"distance": pytest.approx(0, abs=1e-6), "windows": 9}
    assert 1 <= found["inception_score"]["mean"] <= 2
    still = found["consistency"]
    assert still["adjacent"] > 0.999 and still["motion"] < 0.01 and still["warp_error"] < 0.01


def test_mistakes(tmp_path, capsys, tiny):
    assert main(["evaluate", "videos", str(tmp_path), "--joint", str(tiny.joint)]) == 2
    assert "holds no videos" in capsys.readouterr().err
