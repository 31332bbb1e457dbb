"""Say which of the given words a recording sounds like, as a whole or over time.

Several files, or a folder of them, become a table of one line each; one that cannot be heard does not end the rest.
"""

from __future__ import annotations

import argparse
import os
import sys

from ..common.errors import InputError
from ..systems.configs.hear_words import HearWordsConfig
from .batch import Batch, expanded, heard_each, table
from .common import add_common, add_encoder, add_joint, add_json_flag, emit_json, pick_device, say, split_list
from .settings import add_config_arguments, config_from

BARS = "▁▂▃▄▅▆▇█"
WIDE = 60  # columns of a word's course in the terminal
TOLD = 10  # words in the terminal
IN_FULL = 3  # files whose words are all shown; of more, and of a folder, a table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "audio", nargs="+", metavar="AUDIO", help="sound files, or folders of them; the sound of a video works too"
    )
    parser.add_argument(
        "--labels", metavar="a,b,c", help="the words to choose from (default: none; one of these three is needed)"
    )
    parser.add_argument(
        "--vocabulary", metavar="FILE.csv",
        help="a table of words with groups and prompts, in place of AudioSet's, which comes along (default)",
    )  # fmt: skip
    parser.add_argument(
        "--groups",
        metavar="a,b,c",
        help="take all words of these groups of the table, such as weather,water,birds (default: none)",
    )
    parser.add_argument("--over-time", action="store_true", help="say when each word is heard, each by itself")
    add_config_arguments(parser, HearWordsConfig, "smoothing", "hold")
    add_joint(parser)
    add_encoder(parser)
    add_json_flag(parser)
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    if args.labels is None and args.groups is None and args.vocabulary is None:
        raise InputError("There are no words to choose from.", "Give --labels a,b,c, or --groups, or --vocabulary.")
    in_words = args.over_time or args.encoder or args.groups or args.vocabulary
    return _in_words(args) if in_words else _as_wholes(args)


def _as_wholes(args: argparse.Namespace) -> int:
    labels = split_list(args.labels, "--labels")

    from ..embedding.joint import load_joint
    from ..pipelines.classification import SILENT, classify_files, in_words

    joint = load_joint(args.joint, device=pick_device(args))
    batch = heard_each(expanded(args.audio), lambda path, on_step: classify_files(joint, [path], labels, on_step)[0])
    settings = {"joint": args.joint, "labels": labels, "device": str(joint.device), "seed": args.seed}
    if _told(args, batch, settings):
        return 0
    width, block = max(map(len, labels)), "█" if _shows("█") else "#"
    for result in batch.results:
        say(f"{result['audio']}: {in_words(result)}")
        if result["verdict"] == SILENT:
            continue
        for label, score in sorted(result["scores"].items(), key=lambda item: -item[1]):
            say(f"  {label:<{width}}  {score:6.1%}  {block * round(score * 40)}")
    batch.check()
    return 0


def _told(args: argparse.Namespace, batch: Batch, settings: dict) -> bool:
    """Whether all is said: as JSON, or as a table where there are many files."""
    if args.json:
        report = {"results": batch.results, "settings": settings}
        emit_json(report | ({"refused": batch.refused_rows()} if batch.refused else {}), args.json)
    elif len(batch.results) + len(batch.refused) > IN_FULL or any(map(os.path.isdir, args.audio)):
        for line in table(batch, args.audio):
            say(line)
    else:
        return False
    batch.check()
    return True


def _in_words(args: argparse.Namespace) -> int:
    """With ears that score every word by itself."""
    config = config_from(args, HearWordsConfig)
    groups = [] if args.groups is None else split_list(args.groups, "--groups")
    labels = [] if args.labels is None else split_list(args.labels, "--labels")

    from ..embedding.hearing.loading import load_ears
    from ..embedding.hearing.vocabulary import read_vocabulary
    from ..pipelines.recording import Recording
    from ..pipelines.words import described, hear_words, ready_words, to_report

    vocabulary, name, device = read_vocabulary(args.vocabulary), args.encoder or args.joint, pick_device(args)
    ears = load_ears(name, device)
    if groups or not labels:
        labels += [word for word in ready_words(vocabulary, groups, ears) if word not in labels]

    def hear(path: str, on_step) -> dict:
        heard = hear_words(ears, Recording.of_file(path), labels, vocabulary, config, name=name, on_step=on_step)
        mean = dict(zip(labels, heard.scores.mean(dim=0).tolist()))
        courses[path] = heard
        result = {"audio": path, "label": max(mean, key=lambda word: mean[word]), "scores": mean}
        return {**result, **to_report(heard, rows=args.over_time)} if args.over_time else result

    courses: dict = {}
    batch = heard_each(expanded(args.audio), hear)
    words = {"encoder": name, "labels": labels, "vocabulary": args.vocabulary, "groups": groups}
    steadied = {"smoothing": config.smoothing, "hold": config.hold}
    if _told(args, batch, {**words, **steadied, "device": str(device), "seed": args.seed}):
        return 0
    for path, heard in courses.items():
        say(path)
        for line in described(heard, TOLD).splitlines():
            say(f"  {line}")
        if args.over_time:
            _draw(heard)
    batch.check()
    return 0


def _draw(heard) -> None:
    """The courses of the words that are heard, one line each, from the start to the end of the recording."""
    from ..pipelines.words import is_told

    columns = [column for column in heard.strongest(TOLD) if is_told(heard, column)]
    if not columns:
        return
    chosen = heard.only(columns)
    count = min(WIDE, len(chosen.scores))
    courses = chosen.at_frames(count / chosen.seconds, count).T.tolist()
    bars = BARS if _shows(BARS) else " .:-=+*#"
    width = max(map(len, chosen.words))
    for word, course in zip(chosen.words, courses):
        say(f"  {word:<{width}} {''.join(bars[min(int(score * len(bars)), len(bars) - 1)] for score in course)}")


def _shows(text: str) -> bool:
    """Whether the terminal's encoding has these signs."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
