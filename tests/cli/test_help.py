"""--help: every option that takes a value says what it is without."""

from __future__ import annotations

import argparse

import pytest

from soundguide_core.cli import parser


def options(of: argparse.ArgumentParser, command: str = ""):
    """(command, option, help) of everything optional that takes a value."""
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, each in action.choices.items():
                yield from options(each, f"{command} {name}".strip())
        elif action.option_strings and action.nargs != 0 and not action.required:
            yield command, action.option_strings[0], action.help or ""


@pytest.mark.parametrize(("command", "option", "said"), list(options(parser())))
def test_every_option_says_its_default(command, option, said):
    assert "default" in said, f"{command} {option}: {said}"
