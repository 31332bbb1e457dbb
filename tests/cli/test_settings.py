"""Options from configs, and configs from options."""

from __future__ import annotations

import argparse

import pytest

from soundguide_core.cli.settings import add_config_arguments, add_preset_argument, config_from
from soundguide_core.systems.configs.image_manipulation import PUBLISHED, ManipulationConfig
from soundguide_core.systems.configs.video_editing import EditConfig


def parse(config, paths: str, *words: str):
    parser = argparse.ArgumentParser(prog="p")
    add_config_arguments(parser, config, *paths.split())
    return config_from(parser.parse_args(words), config), parser.format_help()


def test_nothing_given_is_the_default():
    assert parse(EditConfig, "steps skip variant weights invert size")[0] == EditConfig()


def test_what_is_given_arrives():
    found, _ = parse(
        EditConfig, "steps weights invert sampler",
        *["--steps", "7", "--weight", "flow=2", "--weight", "range=0.5", "--invert-mask", "--sampler", "ddim"],
    )  # fmt: skip
    assert found == EditConfig(steps=7, weights={"sound": 1.0, "flow": 2.0, "range": 0.5}, invert=True, sampler="ddim")


def test_a_variant_keeps_its_defaults_but_for_what_is_given():
    found, _ = parse(
        ManipulationConfig, "variant schedule.steps schedule.lr space", "--variant", "paper", "--steps", "5"
    )
    assert (found.schedule.steps, found.schedule.lr, found.space, found.samples) == (5, 0.05, "w+", 0)


def test_a_preset_keeps_what_it_says_but_for_what_is_given():
    parser = argparse.ArgumentParser(prog="p")
    add_config_arguments(parser, ManipulationConfig, "similarity", "schedule.steps")
    add_preset_argument(parser, ManipulationConfig)
    for name in PUBLISHED:
        assert config_from(parser.parse_args(["--preset", name]), ManipulationConfig) == PUBLISHED[name]
    found = config_from(parser.parse_args(["--preset", "ffhq-code", "--steps", "5"]), ManipulationConfig)
    assert (found.identity, found.schedule.steps, found.schedule.lr) == (0.005, 5, 0.05)


def test_help_shows_defaults_and_choices():
    text = " ".join(parse(ManipulationConfig, "variant schedule.steps schedule.lr layer_masking")[1].split())
    assert "{sampled,paper,released}" in text and "(default sampled)" in text
    assert "(default 10; paper 300; released 300)" in text and "--step-size" in text and "0.0015" in text
    assert "--no-layer-masking" in text


def test_types_are_checked(capsys):
    for words in (["--steps", "many"], ["--variant", "mine"], ["--weight", "flow"]):
        with pytest.raises(SystemExit):
            parse(EditConfig, "steps variant weights", *words)
    assert "such as flow=2" in capsys.readouterr().err
