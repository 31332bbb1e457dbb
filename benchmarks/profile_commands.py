"""Where a command's seconds go: imports, each of PyTorch's operations, and our own folders, as one table a command.

    python benchmarks/profile_commands.py [--only generate] [--rows 8]

Seconds are the processor's, in the functions themselves, by cProfile, which makes Python's own share look larger than
it is. A process a command; everything runs on the models that come with the package.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMPORTING = ("marshal.loads", "create_dynamic", "exec_dynamic", "open_code", "builtins.compile", "_io.open")
RUN = """
import contextlib, cProfile, io, json, pstats, sys, time
sys.path.insert(0, {root!r})
profile = cProfile.Profile(time.process_time)
profile.enable()
from soundguide_core.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main({words!r})
profile.disable()
rows = [[*where, own] for where, (_, _, own, _, _) in pstats.Stats(profile).stats.items()]
print(json.dumps([time.process_time(), rows]))
"""


def commands(folder: Path) -> dict[str, list[str]]:
    """Those of run_all.py, and what they read."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import run_all

    run_all.write_sound(folder / "sound.wav")
    run_all.write_film(folder / "film.mp4")
    return run_all.commands(ROOT, folder)


def group(file: str, name: str) -> str:
    """What a function's time is told as."""
    if name == "<module>" or "importlib" in file or any(word in name for word in IMPORTING):
        return "imports"
    if file == "~":
        words = name.strip("<>").removeprefix("built-in method ").removeprefix("method ")
        if "run_backward" in words:
            return "the way back (run_backward)"
        return words if "torch" in words else "other built-in functions"
    parts = Path(file).parts
    if "soundguide_core" in parts:
        return f"soundguide_core/{parts[parts.index('soundguide_core') + 1]}"
    packages = [part for part in ("torch", "numba", "librosa", "av", "numpy", "scipy", "diffusers") if part in parts]
    return f"{packages[0]}, in Python" if packages else "Python's own library"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="WORD", default="", help="the commands whose names have it")
    parser.add_argument("--rows", type=int, default=8)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, words in commands(Path(folder)).items():
            if args.only not in name:
                continue
            code = RUN.format(root=str(ROOT), words=words)
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            whole, rows = json.loads(done.stdout.splitlines()[-1])
            own = Counter()
            for file, _, function, seconds in rows:
                own[group(file, function)] += seconds
            print(f"\n{name}: {whole:.1f} CPU s\n\n| share | seconds | in |\n|---|---|---|")
            for what, seconds in own.most_common(args.rows):
                print(f"| {seconds / sum(own.values()):.0%} | {seconds:.2f} | {what} |", flush=True)


if __name__ == "__main__":
    main()
