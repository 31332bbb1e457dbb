"""Random command lines in a sandbox: python tests/robustness/fuzz_commands.py --count 2000 --seed 0

Each line runs in a forked process as an ordinary user, never as root, in a folder of small files. Counted against us:
an exception that leaves main, an exit status other than 0, 2 and 130, an error without a sentence, one that echoes
thousands of characters, a file of somebody's lost or altered, anything left behind by a line that failed, a promised
file that is absent or not whole, a line that neither ends nor heeds Ctrl-C, a process started, a connection made.
Prints one JSON object; exit status 1 where something counts.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import io
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import sandbox
from command_lines import USUAL, Lines

BATCH = 25  # lines in one forked process
LONG_SEC = 6  # of the processor, then the line is stopped as by Ctrl-C
HANG_SEC = 20  # more, and it is a fault
MEMORY = 3 << 30  # bytes of address space beyond what the parent has
ENCODINGS = ["utf-8"] * 6 + ["cp1252", "ascii", "latin-1"]
WRITES = ("manipulate", "generate", "edit", "continuous", "convert")  # commands whose --out is one result
FAULTS = ("traceback", "status", "sentence", "echo", "lost", "altered", "left", "absent", "hung", "process", "network")


class Hang(BaseException):
    pass


class Broken(io.RawIOBase):
    """A pipe whose reader has gone, or a full disk."""

    def __init__(self, error: OSError):
        self.error = error

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        raise self.error


class Run:
    """One line in this process: its status, what it said, and what went wrong."""

    def __init__(self, folder: Path, manifest: sandbox.Manifest, main, watch: list[str]):
        self.folder, self.manifest, self.main, self.watch = folder, manifest, main, watch

    def __call__(self, line: list[str], encoding: str, interrupt: float | None, stdout: str) -> dict:
        out, err, faults = io.BytesIO(), io.BytesIO(), []
        raw = out if stdout == "open" else io.BufferedWriter(
            Broken(BrokenPipeError(32, "Broken pipe") if stdout == "broken" else OSError(28, "No space left on device"))
        )  # fmt: skip
        began, self.stage, self.watch[:] = time.monotonic(), 0, []
        old = sys.stdout, sys.stderr
        stdout_text = sys.stdout = io.TextIOWrapper(raw, encoding=encoding)
        stderr_text = sys.stderr = io.TextIOWrapper(
            err, encoding=encoding, errors="backslashreplace", write_through=True
        )
        signal.signal(signal.SIGPROF, self._alarm)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_PROF, interrupt or LONG_SEC, HANG_SEC)
        try:
            status = self.main(line)
        except SystemExit as end:
            status = end.code
        except KeyboardInterrupt:
            status = (
                130 if self.stage == 0 else "KeyboardInterrupt"
            )  # raised after main had returned or before it began
            faults.append(["traceback", traceback.format_exc()[-1500:]])
        except Hang:
            status = "hung"
            faults.append(["hung", traceback.format_exc()[-1500:]])
        except BaseException:
            status = "traceback"
            faults.append(["traceback", traceback.format_exc()[-1500:]])
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            with contextlib.suppress(OSError, ValueError):
                stdout_text.flush()
            with contextlib.suppress(ValueError):
                stderr_text.detach()
            sys.stdout, sys.stderr = old
        said = err.getvalue().decode(encoding, "replace")
        faults += self._judge(line, status, said, stdout)
        return {"status": status, "faults": faults, "said": said[-600:], "seconds": time.monotonic() - began}

    def _alarm(self, *_) -> None:
        self.stage += 1
        if self.stage > 1:
            raise Hang
        os.kill(os.getpid(), signal.SIGINT)

    def _judge(self, line: list[str], status, said: str, stdout: str) -> list[list[str]]:
        faults = []
        if "Traceback (most recent" in said:
            faults.append(["traceback", said[-1500:]])
        if status not in (0, 2, 130) and status not in ("hung", "traceback"):
            faults.append(["status", repr(status)])
        last = said.strip().splitlines()[-1] if said.strip() else ""
        ours = re.search(r"^error: .*\. \S.*[.:]\W?$", last)
        if status == 2 and not ours and not re.search(r"^(usage: |.*: error: )", last):
            faults.append(["sentence", said[-600:]])
        if status == 2 and len(last) > 900:
            faults.append(["echo", f"{len(last)} characters: {last[:200]}"])
        for event in dict.fromkeys(self.watch):
            if "socket" not in event or line[:1] != ["download"]:
                faults.append(["network" if "socket" in event else "process", event])
        return faults + self._files(line, status, stdout)

    def _files(self, line: list[str], status, stdout: str) -> list[list[str]]:
        """What has become of the sandbox; a file that the line names as its output may be new, or another."""
        changes, faults = self.manifest.changes(), []
        whole = status == 0 or stdout == "full"  # the last word about a result that is there may find no room
        outputs = {}
        for flag in ("--out", "--json", "--folder", "--before"):
            values = [x.split("=", 1)[1] for x in line if x.startswith(f"{flag}=")]
            outputs |= {flag: values[-1]} if values else {}
        asked = [
            os.path.relpath(os.path.join(self.folder, "work", x), self.folder)
            for x in outputs.values()
            if "\0" not in x
        ]
        inputs = {x.split("=", 1)[-1] for x in line if not x.startswith(tuple(outputs))}

        def is_asked(name: str) -> bool:
            return any(name == x or name.startswith(f"{x}/") for x in asked)

        for kind in ("lost", "altered"):
            for name in changes[kind]:
                replaced = kind == "altered" and whole and name in asked
                if not replaced or any(os.path.join("..", name) == x or f"work/{x}" == name for x in inputs):
                    faults.append([kind, name])
        # demo and train leave what they have finished, and folders that were made for a result may stay
        beside = [re.sub(r"\.\w+$", "", x) for x in asked]  # of a result: what Ctrl-C kept, the sheet of --preview

        def is_beside(name: str) -> bool:
            kept = any(name.startswith(f"{x}.unfinished") for x in beside) and status != 0
            return kept or (status == 0 and name in [f"{x}.preview.png" for x in beside])

        left = [name for name in changes["new"] if not (whole and is_asked(name)) and not is_beside(name)]
        left = [name for name in left if not (self.folder / name).is_dir() and line[:1] not in (["train"], ["demo"])]
        faults += [["left", name] for name in left]
        if status == 0 and line and line[0] in WRITES and not {"-h", "--help"} & set(line):
            faults += self._results(outputs, line)
        return faults

    def _results(self, outputs: dict[str, str], line: list[str]) -> list[list[str]]:
        faults = []
        for flag, name in outputs.items():
            path = self.folder / "work" / name
            if flag == "--json" and name != "-":
                try:
                    json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
                except (OSError, ValueError) as error:
                    faults.append(["absent", f"{name[:100]}: {error}"])
            elif flag == "--out" and any(x.split("=")[0] == "--preview" for x in line):
                if not path.with_name(f"{path.stem}.preview.png").exists():
                    faults.append(["absent", f"the preview of {name[:100]}"])
            elif name != "-" and not path.exists():
                faults.append(["absent", name[:100]])
        return faults


def _refuse(constant: str):
    raise ValueError(f"{constant} is no JSON")


def in_child(folder: Path, jobs: list[tuple], report: Path) -> None:
    """Runs the jobs as an ordinary user, one JSON line each into `report`."""
    out = report.open("w", encoding="utf-8")
    quiet = os.open(os.devnull, os.O_RDWR)
    os.dup2(quiet, 0)
    os.dup2(os.open(report.with_suffix(".fd2"), os.O_WRONLY | os.O_CREAT), 2)
    faulthandler.enable(2)
    sandbox.drop_root()
    os.chdir(folder / "work")
    os.environ |= {"HOME": str(folder / "home"), "SOUNDGUIDE_MODELS": str(folder / "models"), "COLUMNS": "80"}
    limit = _address_space() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_FSIZE, (500 << 20, 500 << 20))
    watch: list[str] = []
    sys.addaudithook(lambda event, args: _watched(watch, event, args))
    from soundguide_core.cli import main

    run = Run(folder, sandbox.Manifest(folder), main, watch)
    for i, line, *how in jobs:
        found = {"i": i, "line": line, "how": how, **run(line, *how)}
        out.write(json.dumps(found) + "\n")
        out.flush()
        if any(kind in ("lost", "altered", "hung") for kind, _ in found["faults"]):
            break  # the rest goes on in a fresh sandbox
        if not _tidy(folder, run.manifest):
            break


def _tidy(folder: Path, manifest: sandbox.Manifest) -> bool:
    """Removes what is new; False where a file was replaced as asked, and the sandbox is another."""
    changes = manifest.changes()
    for name in changes["new"]:
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return not changes["altered"] and not changes["lost"]


def _watched(watch: list[str], event: str, args: tuple) -> None:
    if event in ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork", "os.forkpty", "pty.spawn"):
        watch.append(f"{event} {args!r}"[:200])
    elif event in ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname"):
        watch.append(f"{event} {args!r}"[:200])
        raise OSError(101, "Network is unreachable")


def _address_space() -> int:
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[0]) * resource.getpagesize() if status.exists() else 8 << 30


def warm_up(folder: Path) -> None:
    """Runs a right line of each command, so that what they import is there before the forks."""
    from soundguide_core.cli import main

    here = os.getcwd()
    os.chdir(folder / "work")
    extra = {"manipulate": ["--audio=../in/rain.wav", "--image=../in/picture.png"], "edit": ["--mask=../in/mask.png"]}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for name in ("classify", "manipulate", "generate", "edit", "continuous", "models", "inspect", "convert"):
            with contextlib.suppress(SystemExit):
                main([name, *USUAL[name], *extra.get(name, [])])
        for line in (
            ["evaluate", "zero-shot", *USUAL["zero-shot"]],
            ["download", "nothing"],
            ["train", *USUAL["train"]],
        ):
            main(line)
        main(["continuous", *USUAL["continuous"], "--content=sound", "--feature=beat"])
    os.chdir(here)
    import matplotlib.figure  # noqa: F401  of demo; an ordinary user may not read Python's own files
    import PIL.Image

    PIL.Image.init()
    "\x01".encode("unicode_escape")
    for name in (*ENCODINGS, "utf-8-sig"):
        io.TextIOWrapper(io.BytesIO(), encoding=name).write("x")


def jobs_of(lines: Lines, count: int) -> list[tuple]:
    rng = lines.rng
    jobs = []
    for i in range(count):
        line = lines.next()
        interrupt = rng.uniform(0.001, 0.6) if rng.random() < 0.06 else None
        stdout = rng.choice(["broken", "full"]) if rng.random() < 0.05 else "open"
        jobs.append((i, line, rng.choice(ENCODINGS), interrupt, stdout))
    return jobs


def run(count: int, seed: int, only: int | None = None, keep: bool = False) -> dict:
    import torch
    from tqdm import tqdm

    from soundguide_core.cli import parser

    torch.set_num_threads(1)
    tqdm.monitor_interval = 0  # no thread that a fork would lose
    began = time.monotonic()
    jobs = jobs_of(Lines(parser(), seed), count)
    if only is not None:
        jobs = [jobs[only]]
    report = {"count": len(jobs), "seed": seed, "statuses": collections.Counter(), "failures": []}
    slowest = []
    with tempfile.TemporaryDirectory(prefix="fuzz") as place:
        place = Path(place)
        place.chmod(0o755)
        template = place / "template"
        sandbox.fill(template)
        shutil.copytree(template, place / "warm")
        warm_up(place / "warm")
        report["ready_sec"] = round(time.monotonic() - began, 1)
        while jobs:
            folder, results = place / "box", place / "results.json"
            done = _batch(template, folder, jobs[:BATCH], results)
            for found in done:
                report["statuses"][str(found["status"])] += 1
                slowest.append((round(found["seconds"], 2), " ".join(found["line"])[:150]))
                if found["faults"]:
                    report["failures"].append({**found, "line": [x[:120] for x in found["line"]]})
                if keep:
                    print(json.dumps(found), file=sys.stderr)
            jobs = jobs[len(done) :]
    report["seconds"] = round(time.monotonic() - began, 1)
    report["slowest"] = sorted(slowest, reverse=True)[:5]
    report["kinds"] = collections.Counter(kind for found in report["failures"] for kind, _ in found["faults"])
    return report


def _batch(template: Path, folder: Path, jobs: list[tuple], results: Path) -> list[dict]:
    """What became of the first jobs; one that killed its process counts as a traceback."""
    shutil.copytree(template, folder)
    sandbox.special(folder)
    if os.getuid() == 0:
        sandbox.own(folder, sandbox.NOBODY)
    child = os.fork()
    if child == 0:
        try:
            in_child(folder, jobs, results)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    deadline = time.monotonic() + len(jobs) * 5 * (LONG_SEC + 2 * HANG_SEC)
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    done = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    if ended[1] != 0 and len(done) < len(jobs):
        i, line, *how = jobs[len(done)]
        told = results.with_suffix(".fd2").read_text(errors="replace")[-1500:]
        done.append(
            {
                "i": i,
                "line": line,
                "how": how,
                "status": "died",
                "said": told,
                "seconds": 0.0,
                "faults": [["traceback", told]],
            }
        )
    results.with_suffix(".fd2").unlink(missing_ok=True)
    (folder / "read-only").chmod(0o755)
    shutil.rmtree(folder)
    return done


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="just the line of this number")
    parser.add_argument("--verbose", action="store_true", help="every line to stderr")
    args = parser.parse_args()
    report = run(args.count, args.seed, args.only, args.verbose)
    print(json.dumps(report, indent=1))
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
