"""A real ComfyUI: found by COMFYUI_PATH or at ~/comfy/ComfyUI, started once, with the pack linked into it.

Nothing is written into that ComfyUI: models, inputs, outputs, custom nodes, database all lie in a temporary folder.
Its Python is COMFYUI_PYTHON, its own venv, or the one that runs the tests, whichever first has what it needs.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "host"))  # families.py
PACK = "sound-guide.pack"  # a folder name that is no Python identifier, as users have them
NEEDED = (
    *(
        "torch",
        "aiohttp",
        "yaml",
        "alembic",
        "einops",
        "psutil",
        "transformers",
        "comfyui_frontend_package",
    ),  # the host's
    *("open_clip", "diffusers", "librosa", "timm", "kornia", "matplotlib"),  # the pack's
)
START_SEC = 420  # of a busy machine

TINY_UNET = {
    "unet": {
        "sample_size": 16,
        "block_out_channels": [8, 8],
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "down_block_types": ["DownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D"],
    },
    "schedule": {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"},
}
TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 32, "image_size": 32},
    "text_cfg": {"context_length": 16, "width": 16, "heads": 2, "layers": 1},
    "preprocess": {"size": 32, "mean": [0.5] * 3, "std": [0.5] * 3},
    "prompts": ["{}"],
}


def find_host() -> Path | None:
    path = Path(os.environ.get("COMFYUI_PATH", "~/comfy/ComfyUI")).expanduser()
    return path if (path / "main.py").is_file() else None


def has_requirements(python: str) -> bool:
    probe = f"import importlib.util as u, sys; sys.exit(not all(u.find_spec(name) for name in {NEEDED!r}))"
    return subprocess.run([python, "-c", probe], capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def host_path() -> Path:
    path = find_host()
    if path is None:
        pytest.skip("no ComfyUI here: set COMFYUI_PATH to a checkout to run the tests inside it")
    return path


@pytest.fixture(scope="session")
def host_python(host_path) -> str:
    own = [host_path / folder / "bin" / "python" for folder in ("venv", ".venv")]
    named = os.environ.get("COMFYUI_PYTHON")
    for python in [named] if named else [*(str(path) for path in own if path.is_file()), sys.executable]:
        if has_requirements(python):
            return python
    pytest.skip(f"no Python has all of {', '.join(NEEDED)}: set COMFYUI_PYTHON to the one that runs {host_path}")


@pytest.fixture(scope="session")
def importable_host(host_path) -> Path:
    """The host, for tests that import its modules into this very Python."""
    if not has_requirements(sys.executable):
        pytest.skip(f"this Python lacks one of {', '.join(NEEDED)}")
    return host_path


@pytest.fixture(scope="session")
def pack(importable_host) -> Iterator[Callable[[str], ModuleType]]:
    """The pack as ComfyUI loads it, a package under a name of its own, beside the host's modules in this very Python:
    "nodes.host" => that module."""
    path, name = sys.path.copy(), "pack_in_process"
    sys.path.insert(0, str(importable_host))
    importlib.import_module("comfy.cli_args").args.cpu = True
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    yield lambda module: importlib.import_module(f"{name}.{module}")
    sys.path[:] = path


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> Path:
    """A folder as users lay it out: generator/tiny.safetensors and NVIDIA's foreign.pkl, joint/tiny and joint/other,
    untrained and small."""
    import torch
    from safetensors.torch import save_file

    from soundguide_core.audio.mel import RELEASED, MelSpec
    from soundguide_core.checkpoints import safetensors_io
    from soundguide_core.diffusion.unet import UNet
    from soundguide_core.embedding.clip import ClipTowers
    from soundguide_core.embedding.ir_se import ArcFace, IRSEConfig
    from soundguide_core.embedding.sound import SoundEncoder, SoundEncoderConfig, save_sound
    from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config
    from soundguide_core.trajectory.trajectory import Trajectory, TrajectoryConfig, save_trajectory

    folder = tmp_path_factory.mktemp("weights") / "soundguide"
    spec = {**RELEASED.to_dict(), "sample_rate": 8000, "n_fft": 256, "hop_length": 128, "n_mels": 32, "fmax": 4000.0}
    spec = MelSpec(**{**spec, "columns": 64, "stride": 32, "layout": "plain"})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = StyleGAN2Config(resolution=32, z_dim=16, w_dim=16, mapping_layers=2, channel_base=256, channel_max=16)
        (folder / "generator").mkdir(parents=True)
        safetensors_io.save(folder / "generator" / "tiny.safetensors", Generator(config).state_dict(), config.to_dict())
        shutil.copy(ROOT / "tests" / "fixtures" / "stylegan2_ada.pkl", folder / "generator" / "foreign.pkl")
        (folder / "unet").mkdir()
        unet = UNet(**TINY_UNET["unet"], schedule=TINY_UNET["schedule"])
        safetensors_io.save(folder / "unet" / "tiny.safetensors", unet.state_dict(), TINY_UNET)
        shutil.copy(ROOT / "tests" / "fixtures" / "stylegan2_ada.pkl", folder / "unet" / "misplaced.pkl")
        save_file({"model.diffusion_model.out.2.bias": torch.zeros(4)}, folder / "unet" / "misplaced.safetensors")
        encoder = {"trunk": {"dim": 16, "backbone": "test_resnet", "padding": 1}, "width": 8}
        (folder / "trajectory").mkdir()
        save_trajectory(
            folder / "trajectory" / "tiny.safetensors",
            Trajectory(TrajectoryConfig(num_ws=8, w_dim=16, encoder=encoder, hidden=8), spec),
        )
        (folder / "identity").mkdir()
        faces = IRSEConfig((4, 4, 4, 4, 8), (1, 1, 1, 1), 4, dim=6, side=16)
        safetensors_io.save(
            folder / "identity" / "tiny.safetensors", ArcFace(faces).state_dict(), {"arcface": faces.to_dict()}
        )
        for name in ("tiny", "other"):
            place = folder / "joint" / name
            place.mkdir(parents=True)
            ClipTowers.from_config(TINY_CLIP).save(place / "clip.safetensors")
            sound = SoundEncoder(SoundEncoderConfig(dim=16, backbone="test_resnet", padding=1)).eval()
            save_sound(place / "sound.safetensors", sound, spec)
    return folder


class Server:
    """One running ComfyUI and its HTTP API."""

    def __init__(self, host: Path, python: str, base: Path, weights: Path, *flags: str):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.base, self.log_path = base, base / "server.log"
        for folder in ("custom_nodes", "input", "output", "temp", "models", "user"):
            (base / folder).mkdir()
        (base / "custom_nodes" / PACK).symlink_to(ROOT, target_is_directory=True)
        for name in ("tiny_nodes.py", "watched_nodes.py"):
            (base / "custom_nodes" / name).symlink_to(Path(__file__).with_name(name))
        paths = base / "extra_model_paths.yaml"
        paths.write_text(f"somewhere:\n  base_path: {weights.parent}\n  soundguide: {weights.name}\n", encoding="utf-8")
        command = [python, "main.py", "--cpu", "--port", str(self.port), "--base-directory", str(base)]
        command += ["--database-url", "sqlite:///:memory:", "--extra-model-paths-config", str(paths)]
        command += ["--disable-api-nodes", "--verbose", "INFO", *flags]
        self.log_file = self.log_path.open("wb")
        env = {**os.environ, "OMP_NUM_THREADS": "1", "SOUNDGUIDE_MODELS": str(base / "models" / "soundguide")}
        self.process = subprocess.Popen(command, cwd=host, env=env, stdout=self.log_file, stderr=subprocess.STDOUT)
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + START_SEC
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                self.get("/system_stats")
                return
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.5)
        self.stop()
        pytest.fail(f"ComfyUI did not start:\n{self.log()[-3000:]}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log_file.close()

    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def get(self, path: str):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            body = answer.read()
        return json.loads(body) if "json" in answer.headers["Content-Type"] else body

    def post(self, path: str, value: dict) -> tuple[int, dict]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", json.dumps(value).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        return status, json.loads(body) if body else {}

    def queue(self, prompt: dict) -> str:
        """Queues a prompt that must be valid in all of its nodes => its id."""
        status, answer = self.post("/prompt", {"prompt": prompt, "client_id": uuid.uuid4().hex})
        assert status == 200 and answer["node_errors"] == {}, json.dumps(answer, indent=1)
        return answer["prompt_id"]

    def wait(self, prompt_id: str, seconds: float = 300) -> Run:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            history = self.get(f"/history/{prompt_id}")
            if prompt_id in history:
                return Run(history[prompt_id])
            time.sleep(0.05)
        raise AssertionError(f"not done after {seconds} s:\n{self.log()[-3000:]}")

    def run(self, prompt: dict, seconds: float = 300) -> Run:
        return self.wait(self.queue(prompt), seconds)

    def interrupt(self) -> float:
        """Presses Stop => the seconds until nothing runs."""
        assert self.get("/queue")["queue_running"], "it ended before Stop was pressed"
        self.post("/interrupt", {})
        pressed = time.monotonic()
        while self.get("/queue")["queue_running"]:
            assert time.monotonic() - pressed < 20
            time.sleep(0.02)
        return time.monotonic() - pressed

    @property
    def patience(self) -> float:
        """By what a second grows on a busy machine, where many wait for a core: 1 or more."""
        return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)) if hasattr(os, "getloadavg") else 1.0


class Run:
    """What the host says of one finished prompt."""

    def __init__(self, history: dict):
        self.status = history["status"]["status_str"]
        self.messages = dict(history["status"]["messages"])
        self.outputs = history["outputs"]

    @property
    def cached(self) -> set[str]:
        return set(self.messages.get("execution_cached", {}).get("nodes", []))

    @property
    def error(self) -> str:
        return self.messages.get("execution_error", {}).get("exception_message", "").strip()


TINY_STEMS = """
import sys, torch
from torchaudio.models import HDemucs
stems = ["drums", "bass", "other", "vocals"]
torch.save(HDemucs(stems, channels=8, nfft=1024, depth=5).state_dict(), sys.argv[1])
"""


@pytest.fixture(scope="session")
def start_server(host_path, host_python, tiny_models, tmp_path_factory):
    """flags of ComfyUI => a Server with them, which is stopped at the end."""
    separators, running = tiny_models / "stem-separator", []
    separators.mkdir(exist_ok=True)
    subprocess.run([host_python, "-c", TINY_STEMS, separators / "tiny.pt"], check=True)  # torchaudio is the host's

    def start(*flags: str) -> Server:
        running.append(Server(host_path, host_python, tmp_path_factory.mktemp("comfy"), tiny_models, *flags))
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture(scope="session")
def server(start_server):
    return start_server()


@pytest.fixture(scope="session")
def node_infos(server) -> dict:
    """The pack's nodes as the host describes them to its browser."""
    return {name: info for name, info in server.get("/object_info").items() if PACK in info["python_module"]}


@pytest.fixture(scope="session")
def workflows() -> dict[str, dict]:
    folder = ROOT / "workflows" / "api"
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium, for tests of what the host's page shows."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
    from browser import find_chromium

    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium here")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()
