"""What installing our requirements does to an environment that has ComfyUI's alone.

    ~/comfy/env/bin/python tests/host/installing.py ~/comfy/ComfyUI

prints what pip would install there, the size of each package, and through which of our requirements it comes. Nothing
is installed: pip resolves against the metadata of the host's packages, at the versions that this environment has.
"""

from __future__ import annotations

import importlib.metadata as metadata
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

OURS = Path(__file__).resolve().parents[2] / "requirements.txt"


def wanted(lines: list[str], extras: frozenset[str] = frozenset()) -> list[Requirement]:
    """What lines of requirements ask for on this machine, and for these extras."""
    each = [Requirement(line) for line in (re.split(r"(?:^|\s)#", line)[0].strip() for line in lines) if line]
    return [x for x in each if x.marker is None or any(x.marker.evaluate({"extra": extra}) for extra in {"", *extras})]


def closure(requirements: list[Requirement]) -> set[str]:
    """The packages that these name and all that they require, of those that are installed here."""
    seen, found = set(), set()
    while requirements:
        each = requirements.pop()
        name, extras = canonicalize_name(each.name), frozenset(each.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            lines = metadata.distribution(name).requires or []
        except metadata.PackageNotFoundError:
            continue
        found.add(name)
        requirements += wanted(lines, extras)
    return found


def would_install(host: Path) -> tuple[dict[str, str], dict[str, str]]:
    """(package => version that pip would install for us beside the host's, package => version that the host has)."""
    there = closure(wanted((host / "requirements.txt").read_text(encoding="utf-8").splitlines()))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        python = (
            next(Path(folder).glob("bin/python")) if Path(folder, "bin").is_dir() else Path(folder, "Scripts/python")
        )
        site = next(iter(Path(folder).glob("[Ll]ib/**/site-packages")))
        for name in there:
            info = Path(str(metadata.distribution(name)._path))  # pyright: ignore[reportAttributeAccessIssue] pip's way
            shutil.copytree(info, site / info.name)
        command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--dry-run", "--quiet"]
        command += ["--report", "-", "-r", str(OURS)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        planned = json.loads(done.stdout)["install"]
    said = {canonicalize_name(each["metadata"]["name"]): each["metadata"]["version"] for each in planned}
    return said, {name: metadata.version(name) for name in there}


def megabytes(name: str) -> float:
    """What the files of an installed package take, 0 where it is not installed here."""
    try:
        files = metadata.distribution(name).files or []
    except metadata.PackageNotFoundError:
        return 0.0
    return sum(path.stat().st_size for path in (each.locate() for each in files) if path.is_file()) / 1e6


def main() -> int:
    new, there = would_install(Path(sys.argv[1]).expanduser())
    ours = wanted(OURS.read_text(encoding="utf-8").splitlines())
    through = {name: [each.name for each in ours if name in closure([each])] for name in new}
    for name in sorted(new, key=megabytes, reverse=True):
        print(f"{name:24} {new[name]:12} {megabytes(name):7.1f} MB  through {', '.join(through[name]) or '?'}")
    print(f"{len(new)} packages, {sum(map(megabytes, new)):.0f} MB")
    print("changed of the host's:", {name: (there[name], new[name]) for name in new if name in there} or "nothing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
