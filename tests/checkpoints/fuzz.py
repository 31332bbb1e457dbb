"""Damage small files of every format at random and read them: python tests/checkpoints/fuzz.py --count 10000

Every file is read and converted as a loader would. Counted against us: any exception but InputError, more than --most
seconds of the processor on one file, growth of memory beyond --memory megabytes, and anything that the interpreter
reports to an audit hook as done on the side: a module imported, a file opened for writing or another than the one in
hand, a process, a socket, code compiled or run, Python's own unpickler. Prints one JSON object; exit status 1 where
something counts.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import pickle
import random
import re
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
sys.path.insert(0, str(ROOT))

from soundguide_core.checkpoints import safe_pickle  # noqa: E402
from soundguide_core.checkpoints.formats import open_foreign  # noqa: E402
from soundguide_core.common.errors import InputError  # noqa: E402

OPCODES = b"()]}0123RbQtaeu.s\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x93\x94\x95NJKMGXBhjqrciPo"
NUMBERS = [0, 1, 4, 0x7F, 0xFF, 0x7FFF, 0x7FFFFFFF, 0xFFFFFFFF, 2**40, 2**63 - 1, 2**64 - 1]
QUIET = ("os.listdir", "os.scandir", "os.stat", "object.", "sys._getframe", "gc.", "builtins.id", "mmap.", "cpython.")
QUIET_EVENTS = {"code.__new__", "sys.excepthook", "time.sleep", "signal.setitimer"}

# Small real files


def script(name: str):
    spec = importlib.util.spec_from_file_location(name, FIXTURES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def saved(value, **options) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def small(state: dict) -> dict:
    """The same keys, every tensor at most 2 long along each axis."""
    return {key: x[tuple(slice(2) for _ in x.shape)].clone() for key, x in state.items()}


def originals() -> dict[str, bytes]:
    """name => contents, one or two of every format."""
    networks, nvidia, rosinality = map(script, ("make_network_parity", "make_nvidia_parity", "make_stylegan2_parity"))
    from soundguide_core.generators.stylegan2 import Generator, StyleGAN2Config

    found = {path.name: path.read_bytes() for path in sorted(FIXTURES.glob("*.pkl"))}
    config = StyleGAN2Config(32, 8, 8, 2, channel_base=256, channel_max=16)
    g_ema = rosinality.to_reference_generator(nvidia.ours(config, Generator))
    training = {"g_ema": g_ema, "g_optim": {"state": {}, "param_groups": [{"lr": 0.002, "betas": (0.0, 0.99)}]}}
    training |= {"args": argparse.Namespace(size=32), "ada_aug_p": 0.0, "latent_avg": torch.zeros(8)}
    old = {"_use_new_zipfile_serialization": False}
    found |= {"rosinality.pt": saved(training), "rosinality, old.pt": saved(training, **old)}
    for path in sorted(FIXTURES.glob("*_parity.safetensors")):
        try:
            states = networks.read(path.stem.removesuffix("_parity"))[1]
        except (KeyError, TypeError, ValueError):
            continue  # another script's
        for case, state in states.items():
            if all(x.device.type == "cpu" for x in state.values()):
                options = old if len(found) % 2 else {}
                found[f"{path.stem.removesuffix('_parity')}, {case}.pth"] = saved(small(state), **options)
    found["plain.pkl"] = pickle.dumps({"a": torch.arange(6.0).reshape(2, 3).numpy(), "b": [1, 2.5, "x", {3}]})
    found["weights.safetensors"] = safetensors(g_ema)
    found["TorchScript.pt"] = program()
    return found


def program() -> bytes:
    out = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Sequential(torch.nn.Linear(3, 2)), torch.zeros(1, 3)), out)
    return out.getvalue()


def safetensors(state: dict) -> bytes:
    from safetensors.torch import save

    return save({key: x.contiguous() for key, x in state.items()})


# Damage


def damaged(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """data with one to four changes; in an archive half of the time inside the pickle, with its checksum put right."""
    if data.startswith(b"PK") and rng.random() < 0.6:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        inner = next(name for name in entries if name.endswith("data.pkl"))
        entries[inner] = damaged(entries[inner], others, rng)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, contents in entries.items():
                archive.writestr(name, contents)
        return out.getvalue()
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 1, 3))):
        at = place(out, rng)
        change = rng.randrange(8)
        if change == 0:
            out[at : at + 1] = bytes([rng.randrange(256)])
        elif change == 1:
            out[at : at + 1] = bytes([rng.choice(OPCODES)])
        elif change == 2:
            del out[at : at + rng.choice((1, 2, 4, 40, 4000))]
        elif change == 3:
            out[at:at] = out[at : at + rng.choice((1, 8, 200))] * rng.choice((1, 2, 50))
        elif change == 4:
            layout = rng.choice(("<B", "<H", "<I", "<Q"))
            number = rng.choice(NUMBERS) & (256 ** struct.calcsize(layout) - 1)
            out[at : at + struct.calcsize(layout)] = struct.pack(layout, number)
        elif change == 5:
            other = rng.choice(others)
            start = place(other, rng)
            out[at : at + 100] = other[start : start + rng.choice((4, 100, 3000))]
        elif change == 6:
            del out[at:]
        else:
            names = [found.span() for found in re.finditer(rb"[a-z_.]{4,}", out[at : at + 4000])]
            start, end = rng.choice(names) if names else (0, 0)
            out[at + start : at + end] = rng.choice((b"os", b"system", b"a", b"torch", b"", b"_rebuild_tensor_v2"))
        if not out:
            return b""
    return bytes(out)


def place(data: bytes | bytearray, rng: random.Random) -> int:
    """Mostly where the structure is: near its beginning, its end, or a run of letters."""
    if rng.random() < 0.5:
        return rng.randrange(max(len(data), 1))
    start = rng.randrange(max(len(data), 1))
    found = re.search(rb"[a-z_]{5,}", data[start : start + 20_000])
    return min(start + (found.start() if found else 0) + rng.randrange(-6, 12), max(len(data) - 1, 0)) % max(
        len(data), 1
    )


# Watching


class Hang(BaseException):
    pass


class Watch:
    """Collects what is done on the side while a file is read."""

    def __init__(self, path: Path):
        self.path, self.on, self.seen = str(path), False, []
        sys.addaudithook(self.hook)

    def hook(self, event: str, args: tuple) -> None:
        if not self.on or event.startswith(QUIET) or event in QUIET_EVENTS:
            return
        if event == "open" and str(args[0]) == self.path and args[2] & os.O_ACCMODE == os.O_RDONLY:
            return
        self.seen.append(f"{event} {args!r}"[:300])


def opened(path: Path) -> None:
    """As a network loads it and as `inspect` describes it, which say the same."""
    try:
        described = open_foreign(path, numbers=False)
    except InputError as error:
        described = error
    try:
        loaded = open_foreign(path)
    except InputError as error:
        assert isinstance(described, InputError), f"described, but not loaded: {error}"
        raise
    assert not isinstance(described, InputError), f"loaded, but not described: {described}"
    assert (loaded.format, loaded.kind, loaded.config) == (described.format, described.kind, described.config)
    shapes = [{key: tuple(x.shape) for key, x in of.tensors.items()} for of in (loaded, described)]
    assert shapes[0] == shapes[1]


def run(count: int, seed: int, most_sec: float, memory_mb: float) -> dict:
    kinds = originals()
    report = {"count": count, "seed": seed, "files": {}, "failures": [], "slowest_sec": 0.0, "read": 0, "converted": 0}

    def on_alarm(*_):
        raise Hang

    signal.signal(signal.SIGPROF, on_alarm)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        watch = Watch(path)
        for name, data in kinds.items():  # whole files first: they are read, and all that is lazy is imported
            path.write_bytes(data)
            if not name.endswith(".safetensors"):
                safe_pickle.read(path)
            try:
                opened(path)
            except InputError as error:
                report["files"][name] = f"{len(data)} bytes, no layout ({error.cause[-60:]})"
            else:
                report["files"][name] = f"{len(data)} bytes"
        repr(torch.zeros(1))  # torch, too, is lazy
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        names = list(kinds)
        for i in range(count):
            rng = random.Random(f"{seed} {i}")
            name = names[i % len(names)]
            path.write_bytes(damaged(kinds[name], list(kinds.values()), rng))
            started = time.process_time()
            signal.setitimer(signal.ITIMER_PROF, most_sec)
            watch.on = True
            try:
                if not name.endswith(".safetensors"):
                    safe_pickle.read(path)
                    report["read"] += 1
                opened(path)
                report["converted"] += 1
            except InputError as error:
                if not (error.cause and error.remedy) or "\n" in str(error) or "too large to be read" in error.cause:
                    report["failures"].append(f"{name} {i}: {error}")
            except Hang:
                report["failures"].append(f"{name} {i}: more than {most_sec} s")
            except BaseException:
                report["failures"].append(f"{name} {i}: {traceback.format_exc()[-800:]}")
            finally:
                watch.on = False
                signal.setitimer(signal.ITIMER_PROF, 0)
            report["slowest_sec"] = max(report["slowest_sec"], time.process_time() - started)
            if watch.seen or [entry.name for entry in Path(folder).iterdir()] != ["file"]:
                report["failures"].append(f"{name} {i}: {watch.seen or 'another file'}")
                watch.seen.clear()
    report["memory_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if report["memory_mb"] > memory_mb:
        report["failures"].append(f"memory grew by {report['memory_mb']:.0f} MB")
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most", type=float, default=5, help="seconds of the processor for one file")
    parser.add_argument("--memory", type=float, default=200, help="megabytes beyond what whole files take")
    args = parser.parse_args()
    torch.set_num_threads(1)
    report = run(args.count, args.seed, args.most, args.memory)
    print(json.dumps(report, indent=2))
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
