"""Everything from nothing, with Python 3.10 or newer alone:

    python start.py demo                   play the miniature through, as a page to look at; --quick plays less
    python start.py run classify rain.wav  any command of SoundGuide; `run --help` lists them
    python start.py test                   the tests

Each makes a virtual environment in .venv beside this file, installs what it needs there, and remembers what is
installed, so that the next time starts at once. It works from any folder. Arguments after the command are passed on:
`python start.py demo --out pictures`, `python start.py test -k mel`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "soundguide.json"


def python_in(environment, windows):
    """Where a virtual environment has its Python."""
    return environment / ("Scripts/python.exe" if windows else "bin/python")


PYTHON = python_in(VENV, windows=os.name == "nt")
PYTORCH = ["torch", "torchvision"]  # ComfyUI brings these along; alone we fetch them
FOR_PROCESSORS = "https://download.pytorch.org/whl/cpu"  # PyTorch without CUDA; both packages, as they fit each other
FOR_TESTS = ["pytest", "scikit-image"]  # photographs, and an optical flow to compare with
QUIET = ["--disable-pip-version-check"]

COMMANDS = {
    "demo": ["-m", "soundguide_core", "demo"],
    "run": ["-m", "soundguide_core"],
    "test": ["-m", "pytest"],
}


def say(text):
    """To stderr, as what a command prints may be read by another program."""
    print(f"[SoundGuide] {text}", file=sys.stderr, flush=True)


def works(*command):
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def make_environment():
    if PYTHON.exists() and works(PYTHON, "-c", "pass"):
        return
    if VENV.exists():
        say(f"{VENV} is not usable here, so it is made anew.")
        shutil.rmtree(VENV)
    say(f"Making a virtual environment in {VENV}")
    # some Linux distributions ship venv without its copy of pip; then the pip of this Python installs into it
    if not works(sys.executable, "-m", "venv", VENV) and not works(
        sys.executable, "-m", "venv", "--clear", "--without-pip", VENV
    ):
        shutil.rmtree(VENV, ignore_errors=True)
        sys.exit("A virtual environment cannot be made. Install Python's venv (on Debian, Ubuntu: python3-venv).")


def requirements(command):
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    ours = [line for line in lines if line.strip() and not line.startswith("#")]
    return PYTORCH + ours + (FOR_TESTS if command == "test" else [])


def cuda_is_of_no_use():
    """Whether pip's own choice of PyTorch would bring gigabytes of CUDA along for nothing: Linux without its driver."""
    return sys.platform == "linux" and not (shutil.which("nvidia-smi") or Path("/proc/driver/nvidia").exists())


def answers(url):
    try:
        urllib.request.urlopen(url, timeout=10).close()
    except OSError:
        return False
    return True


def fetch(pip, *what, last=None):
    """pip install, with one line that says what is fetched and how much, in place of pip's many: whether it worked.

    last: where the count of megabytes goes on from and to, {"megabytes": 0.0}.
    """
    count = {"megabytes": 0.0} if last is None else last
    look = ["--progress-bar", "raw"] if works(*pip, "install", "--progress-bar", "raw", "--help") else []
    command = [*pip, "install", *QUIET, *look, *what]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, encoding="utf-8", errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    name, size, told = "", 0.0, 0.0
    for line in process.stdout:
        if found := re.search(r"Downloading (?:\S*/)?([^/\s]+(?<!\.metadata)) \((\d+(?:\.\d+)?) ?([kMG])?B\)", line):
            name = re.split(r"-(?=\d)", found[1])[0]
            size = float(found[2]) * {"k": 1e-3, "M": 1, "G": 1e3}.get(found[3], 1e-6)
            count["megabytes"] += size
            show(f"fetching {name}, {size:.0f} MB; {count['megabytes']:.0f} MB with it", lasting=size >= 20)
        elif found := re.match(r"Progress (\d+) of (\d+)", line):
            now = time.monotonic()
            if now - told > 0.5:
                told, done = now, int(found[1]) / 1e6
                so_far = count["megabytes"] - size + done
                show(f"fetching {name}, {done:.0f} of {size:.0f} MB; {so_far:.0f} MB so far", lasting=False)
        elif found := re.match(r"Installing collected packages: (.*)", line):
            show(f"unpacking {len(found[1].split(','))} packages, {count['megabytes']:.0f} MB fetched", lasting=True)
        elif line.startswith(("ERROR", "error")):
            show(line.rstrip(), lasting=True)
    return process.wait() == 0


def show(text, lasting):
    """One line that the next replaces where a terminal shows it; elsewhere only those that are to last."""
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns - 1
        line = f"\r[SoundGuide] {text}"[:width].ljust(width)
        print(line, end="\n" if lasting else "", file=sys.stderr, flush=True)
    elif lasting:
        say(text)


def install(command):
    wanted = requirements(command)
    stamp = json.loads(STAMP.read_text(encoding="utf-8")) if STAMP.exists() else {}
    installed = stamp.get("installed", []) if stamp.get("python") == sys.version else []
    if set(wanted) <= set(installed):
        return
    began = time.monotonic()
    pip = [PYTHON, "-m", "pip"]
    if not works(*pip, "--version"):
        pip = [sys.executable, "-m", "pip", "--python", PYTHON]
    count = {"megabytes": 0.0}
    if cuda_is_of_no_use() and not set(PYTORCH) <= set(installed) and answers(FOR_PROCESSORS + "/torch/"):
        say("Installing PyTorch for processors, much smaller than the usual 3 GB, as there is no NVIDIA driver here")
        done = fetch(pip, "--index-url", FOR_PROCESSORS, *PYTORCH, last=count)
        if not (done and works(PYTHON, "-c", "import torchvision")):  # a pip with places of its own may mix two builds
            say("That did not give a PyTorch that works; pip's usual one is taken, about 3 GB to fetch")
            works(*pip, "uninstall", "--yes", *PYTORCH)
    say(f"Installing {len(wanted)} packages and what they need, some minutes the first time")
    if not fetch(pip, *wanted, last=count):
        sys.exit("pip could not install the packages; its last lines say why. Mend that and run the command again.")
    stamp = {"python": sys.version, "installed": sorted({*installed, *wanted})}
    STAMP.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    say(f"Installed in {time.monotonic() - began:.0f} seconds, {count['megabytes']:.0f} MB fetched")


def main(arguments):
    if sys.version_info < (3, 10):
        sys.exit(f"SoundGuide needs Python 3.10 or newer; this is {sys.version.split()[0]}.")
    if not arguments or arguments[0] not in COMMANDS:
        print(__doc__)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    command, *rest = arguments
    make_environment()
    install(command)
    if command != "run":
        say(f"Running: {command}")
    # paths given to a command are relative to where the user stands, the tests' to the project
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if command == "run":
        environment["SOUNDGUIDE_CALLED"] = f"python {sys.argv[0]} run"  # for the usage line of --help
    folder = ROOT if command == "test" else None
    return subprocess.run([PYTHON, *COMMANDS[command], *rest], env=environment, cwd=folder).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
