"""An edit that was stopped: its finished frames and where it goes on, in a folder beside the result. Axes: H W, D."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..checkpoints import safetensors_io
from ..common.errors import InputError, Stopped
from ..common.outputs import MARKER, own_folder
from ..diffusion.windows import EditedVideo, PreviousFrame, Reached
from ..media.images import from_uint8, write_png

STATE = "edit.safetensors"
FORMAT = 1  # of the state; of another one nothing is taken up


class UnfinishedEdit:
    """The frames that one edit has finished, as PNG files, and the state after the last of them.

    reached: where it goes on; at frame 0 where there is nothing yet. figures: what somebody measured on the way, JSON.
    """

    def __init__(self, folder: Path, made_by: str, num_frames: int) -> None:
        self.folder, self.made_by, self.num_frames = folder, made_by, num_frames
        self.reached, self.figures = Reached(), {}
        if (folder / STATE).is_file():
            self._take_up()

    def _take_up(self) -> None:
        try:
            tensors, config = safetensors_io.load(self.folder / STATE)
        except InputError:
            return
        same = config.get("format") == FORMAT and config.get("made_by") == self.made_by
        if same and all(self._path(i).is_file() for i in range(config["first"])):
            previous = PreviousFrame(**tensors) if "x0" in tensors else None
            self.reached, self.figures = Reached(config["first"], previous), config["figures"]

    def frames(self) -> Iterator[Tensor]:
        """Those that are finished, each [1,3,H,W] in -1..1, as they were to the bit of a PNG."""
        from PIL import Image

        for i in range(self.reached.first):
            with Image.open(self._path(i)) as img:
                yield from_uint8(torch.from_numpy(np.array(img))[None])

    def add(self, part: EditedVideo, figures: dict | None = None) -> None:
        """The next window: first its frames, then the state that counts them."""
        assert part.reached is not None  # of a window it is known
        first = part.reached.first - len(part.frames)
        for i, img in enumerate(part.frames):
            write_png(img, self._path(first + i), quick=True)
        previous = part.reached.previous
        tensors = {"nothing": torch.zeros(1)} if previous is None else previous._asdict()
        config = {"format": FORMAT, "made_by": self.made_by, "first": part.reached.first, "figures": figures or {}}
        safetensors_io.save(self.folder / STATE, tensors, config)
        self.reached = part.reached

    def on_device(self, device: torch.device) -> Reached:
        """Where it goes on, with its tensors there."""
        previous = self.reached.previous
        moved = None if previous is None else PreviousFrame(*(x.to(device) for x in previous))
        return Reached(self.reached.first, moved)

    def _path(self, i: int) -> Path:
        return self.folder / f"{i:05d}.png"


@contextlib.contextmanager
def unfinished(out: str | os.PathLike, made_by: Mapping[str, object], num_frames: int) -> Iterator[UnfinishedEdit]:
    """The unfinished edit of `out`, in OUT.unfinished without its ending: one that was stopped, or a new one.

    made_by: everything that decides what the frames are; an edit of anything else is started anew. When the block ends
    well the folder goes, and when it fails before a window is finished. Ctrl-C becomes a Stopped that names it.

    Raises:
        InputError: a folder of that name is somebody's.
    """
    out = Path(out)
    folder = out.with_name(f"{out.stem}.unfinished")
    known = hashlib.sha256(json.dumps(made_by, sort_keys=True, default=str).encode()).hexdigest()
    with own_folder(folder):
        edit = UnfinishedEdit(folder, known, num_frames)
    if not edit.reached.first:
        _clear(folder)
    try:
        yield edit
    except BaseException as error:
        if not edit.reached.first:
            _remove(folder)
        elif isinstance(error, KeyboardInterrupt):
            said = f"{edit.reached.first} of {num_frames} frames are kept in {folder}"
            raise Stopped(f"{said}; the same command goes on from there") from None
        raise
    _remove(folder)


def stamp(path: str | os.PathLike | None) -> list:
    """What tells a file from the same file changed: its place, size and time of change; of a folder those of all."""
    if path is None or not os.path.exists(path):
        return [path]
    files = sorted(Path(path).iterdir()) if os.path.isdir(path) else [Path(path)]
    return [os.path.realpath(path), [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]]


def _clear(folder: Path) -> None:
    for file in folder.glob("[0-9][0-9][0-9][0-9][0-9]*.png"):
        file.unlink()
    (folder / STATE).unlink(missing_ok=True)


def _remove(folder: Path) -> None:
    """With everything of ours; what somebody has added stays."""
    _clear(folder)
    if {entry.name for entry in os.scandir(folder)} <= {MARKER}:
        shutil.rmtree(folder, ignore_errors=True)
