"""The command line: one module per command, each with add_arguments(parser) and run(args) -> exit status."""

from __future__ import annotations

import _thread
import argparse
import contextlib
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from .. import __version__
from ..common.called import called
from ..common.errors import InputError, Stopped, printable, shown
from .collector import resting_while_torch_is_imported
from .paths import check_paths

COMMANDS = (
    "demo", "classify", "manipulate", "generate", "edit", "continuous", "live", "evaluate", "train", "models",
    "inspect", "convert", "download",
)  # fmt: skip
WRITE_FOLDERS = ("demo", "generate", "edit", "continuous", "train")  # or may
BAD_INPUT = 2  # what argparse, too, answers with
STOPPED = 130  # 128 + SIGINT


class Parser(argparse.ArgumentParser):
    """Refuses in one line, in which what was given is shortened and made printable."""

    def error(self, message: str) -> NoReturn:
        super().error(shown(message, most=300))


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """The whole command line; or with this command alone, which is quicker: the other commands are not imported."""
    about = "Pictures changed by the meaning of sounds."
    top = Parser(called(), description=about)
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS if command is None else (command,):
        module = import_module(f".{name}", __package__)
        summary = (module.__doc__ or name).splitlines()[0]
        added = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(added)
        if name in WRITE_FOLDERS:
            added.add_argument("--overwrite", action="store_true", help="write into a folder that holds other files")
        added.set_defaults(run=module.run)
    return top


def _warn(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object) -> None:
    """A warning of ours on one line of stderr; those of libraries, which no user can heed, are left out."""
    if category is UserWarning and Path(filename).is_relative_to(Path(__file__).parents[1]):
        print(f"warning: {shown(message, most=300)}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; bad input becomes two sentences on stderr, Ctrl-C a quiet end.

    So does what the machine refuses: a permission, a full disk, memory. An output whose reader has gone, as in
    `models | head -1`, ends the command quietly.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a terminal in cp1252 has no sign for every letter of every name
            reconfigure(errors="backslashreplace")
    warnings.showwarning = _warn
    with _noticing_ctrl_c() as pressed:
        try:
            return _run(argv)
        except Exception:
            if not pressed:
                raise
            return _stopped()


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = list(sys.argv[1:] if argv is None else argv)
        for argument in arguments:
            if argument.startswith("--") and argument.endswith("=--"):  # which argparse takes for a list of nothing
                raise InputError(f"{argument} gives that option no value.", "Write a value after the equals sign.")
        args = parser(arguments[0] if arguments and arguments[0] in COMMANDS else None).parse_args(arguments)
        check_paths(args)
        with resting_while_torch_is_imported():
            status = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except InputError as error:
        return _refused(error)
    except KeyboardInterrupt as stop:
        return _stopped(str(stop) if isinstance(stop, Stopped) else "")
    except BrokenPipeError:
        _discard_output()
        return 0
    except OSError as error:
        _discard_output()
        return _refused(_from_system(error))
    except (MemoryError, RuntimeError) as error:
        from ..common.memory import ran_out_of_memory

        if not ran_out_of_memory(error):
            raise
        remedy = "Ask for fewer frames at once (--chunk), a smaller size or a shorter piece, or close other programs."
        return _refused(InputError("This does not fit into the memory of the machine.", remedy))


@contextlib.contextmanager
def _noticing_ctrl_c() -> Iterator[list[int]]:
    """The signals of Ctrl-C that came. Some libraries turn the KeyboardInterrupt in their calls into another error, and
    Python drops one that arrives while it clears a generator away: that one is sent again."""
    pressed: list[int] = []
    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield pressed
        return

    def on_signal(number: int, frame) -> None:
        pressed.append(number)
        signal.default_int_handler(number, frame)

    said = sys.unraisablehook

    def on_unraisable(unraisable) -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):  # it met a generator that was being cleared away
            again = threading.Timer(0.01, _thread.interrupt_main)
            again.daemon = True
            again.start()
        else:
            said(unraisable)

    signal.signal(signal.SIGINT, on_signal)
    sys.unraisablehook = on_unraisable
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, usual)
        sys.unraisablehook = said


def _stopped(kept: str = "") -> int:
    """kept: of the work, in words."""
    print(f"\nStopped; {printable(kept) or 'nothing half done was written'}.", file=sys.stderr)
    return STOPPED


def _refused(error: InputError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return BAD_INPUT


def _from_system(error: OSError) -> InputError:
    what = "The output" if error.filename is None else f"{error.filename}"
    return InputError(
        f"{what} cannot be read or written ({error.strerror or error}).",
        "Check the path, who may use it, and the space on the disk.",
    )


def _discard_output() -> None:
    """Nothing more goes to a stdout that takes nothing; otherwise Python would complain of it at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
