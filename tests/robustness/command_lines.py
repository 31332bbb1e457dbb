"""Random command lines: the parser's own options, with values that are right, damaged, strange or somebody's files.

Names are relative to the folder `work` of a Sandbox. Nothing outside the sandbox is named but devices and /proc, so a
line is never to be run as root (see sandbox.drop_root).
"""

from __future__ import annotations

import argparse
import random

JOINT, GENERATOR, VIDEO_GENERATOR = (
    "../weights/joint",
    "../weights/generator.safetensors",
    "../weights/video.safetensors",
)
GOOD = {
    "sound": [
        *("../in/rain.wav", "../in/rain.flac", "../in/rain.ogg", "../in/naïve – 雨.wav", "../in/with space.wav"),
        *("../in/eight.wav", "../in/clip.mp4", "../in/12:30:15.wav", "../in/one sample.wav"),
    ],
    "video": [
        "../in/clip.mp4",
        "../in/clip.mkv",
        "../in/clip.webm",
        "../in/mute.mp4",
        "../in/frames",
        "../in/still.mp4",
    ],
    "picture": [
        *("../in/picture.png", "../in/picture.jpg", "../in/picture.webp", "../in/cmyk.jpg", "../in/palette.png"),
        *("../in/deep.png", "../in/alpha.png", "../in/pixel.png", "../in/line.png", "../in/picture.bmp"),
    ],
    "mask": [
        "../in/mask.png",
        "../in/white.png",
        "../in/black.png",
        "../in/frames",
        "../in/clip.mp4",
        "../in/alpha.png",
    ],
    "words": ["rain", "a calm lake", "fire, wind", "雨", "naïve", "🌧"],
    "labels": ["rain,fire", "a,b,c", "rain, fire ,wind", "雨,é"],
    "weights": [
        *("../weights/generator.safetensors", "../weights/unet.safetensors", "../weights/joint/sound.safetensors"),
        *("../weights/foreign.pkl", "../weights/trajectory.safetensors", "miniature"),
    ],
    "int": ["1", "2", "3", "7"],
    "float": ["0.5", "1", "0.25", "2", "0"],
}
STRANGE_PATHS = [
    *("", " ", ".", "..", "/", "../..", "~", "~/x.png", "$HOME/x.png", "nowhere.wav", "nowhere/x.png", "nowhere/x.mp4"),
    *("../in/empty.wav", "../in/text.wav", "../in/header.wav", "../in/cut.wav", "../in/cut.flac", "../in/cut.ogg"),
    *("../in/silent.wav", "../in/nan.wav", "../in/inf.wav", "../in/huge.wav", "../in/nine.wav", "../in/slow.wav"),
    *("../in/cut.png", "../in/text.png", "../in/eps.png", "../in/bomb.png", "../in/float.tiff", "../in/picture.gif"),
    *("../in/picture.tiff", "../in/cut.mp4", "../in/cut.mkv", "../in/text.mp4", "../in/list.mp4", "../in/list.wav"),
    *("../in/playlist.m3u8", "../in/empty folder", "../in/frames/00000.png", "../in/frames/%05d.png"),
    *("../in/-dash.wav"),
    *("../own/holiday.png", "../own/holiday.mp4", "../own/notes.json", "../own/photos", "../own/mixed"),
    *("../own/frames"),
    *("../own/thesis.safetensors", "photos", "photos/", "mine.png", "notes.txt", "../in/one frame", "../in"),
    *("../weights/cut.safetensors", "../weights/empty.safetensors", "../weights/program.pkl", "../weights/list.pkl"),
    *("../weights/text.pt", "../weights/long.safetensors", "../weights/joint", "../weights/joint/clip.safetensors"),
    *("../in/broken.toml", "../in/latin.toml", "../in/empty.toml", "../in/types.toml", "../in/loop.toml"),
    *("../odd/fifo", "../odd/fifo.wav", "../odd/socket.wav", "../odd/link.png", "../odd/link.mp4", "../odd/link.json"),
    *("../odd/link-folder", "../odd/link.wav", "../odd/dangling.png", "../odd/loop.png", "../odd/null.png"),
    *("../odd/unreadable.wav", "../odd/unreadable.png", "../read-only/x.png", "../read-only/mine.png", "../read-only"),
    *("../read-only/x.mp4", "../read-only/x.json", "../read-only/new/x", "../in/rain.wav/x.png", "../in/rain.wav/"),
    *("/dev/null", "/dev/zero", "/dev/full", "/dev/null/x.png", "/proc/self/mem", "/proc/self/environ", "/proc/x.json"),
    *("http://localhost/x.wav", "file:../in/rain.wav", "concat:../in/rain.wav|../in/rain.wav", "pipe:0", "fd:0", "-"),
    *("12:30:15.mp4", "new:1.png", "C:\\sounds\\x.png", "con.png", "x.png:stream", "new.PNG", ".png", ".mp4", "..png"),
    *("a" * 300 + ".png", "a" * 5000, "b/" * 2500 + "x.mp4", "nul\0.png", "line\nbreak.png"),
    *("\x1b[31mred.png", "\udcff.wav"),
    *("‮gnp.x", "é" * 140 + ".png", "new.png/", "new.mp4/", "nowhere/", "%s%n{}", "new.jpg.exe", "--out", "-h"),
]  # fmt: skip
STRANGE_NUMBERS = [
    *("0", "-1", "-0", "1e3", "1e9", "1e30", "1e308", "1e309", "nan", "inf", "-inf", "NaN", "", " ", "1,5"),
    *("1.5", "0x10"),
    *("1_000", "٣", "²", "½", "1e-9", "1e-320", "1" + "0" * 30, "1" + "0" * 400, "1" + "0" * 4999, "4294967295"),
    *("4294967296", "18446744073709551616", "-9223372036854775809", "true", "None", "1/0", "1;2", "99999"),
    *("2147483648"),
]  # fmt: skip
STRANGE_WORDS = [
    *(
        "",
        " ",
        ",",
        "a,,b",
        "a,a",
        "a,",
        "\n",
        "\t",
        "x" * 5000,
        "x " * 2500,
        "\0",
        "\udcfe",
        "\x1b[2J",
        "--",
        "-",
        "a;b",
    ),
    *("{}", "%d", "🌧" * 50, "雨" * 1000, "a," * 3000 + "b", "'\"", "None", "nan"),
]
STRANGE_CHOICES = ["", "banana", "x" * 5000, "NONE", "paper,released", "\udcff", "1"]
STRANGE_DEVICES = [
    *("cpu", "cuda", "cuda:1", "cuda:99", "mps", "hpu", "xpu", "meta", "mkldnn", "opengl", "ideep", "vulkan", "lazy"),
    *("mtia", "privateuseone", "fpga", "ort", "xla", "ve", "maia", "ipu", "hip", "cpu:0", "cpu:7", "cpu:-1", "cuda:"),
    *("", "banana", "CPU", "auto:1", "cpu:99999999999999999999", "x" * 5000, "cpu\0"),
]
# what each command is mostly given, so that a line is right but for what is changed in it, and little work
USUAL = {
    "demo": ["--out=../in/rain.wav"],  # minutes of work where it is right: see test_start.py
    "classify": ["../in/rain.wav", f"--joint={JOINT}", "--labels=rain,fire"],
    "manipulate": [
        *("--text=rain", "--steps=1", "--out=new.png", f"--joint={JOINT}", f"--generator={GENERATOR}"),
    ],
    "generate": [
        *("--audio=../in/rain.wav", "--out=new.mp4", "--seconds=0.25", f"--joint={JOINT}", f"--generator={GENERATOR}"),
        "--trajectory=../weights/trajectory.safetensors",
    ],
    "edit": [
        *("--video=../in/clip.mp4", "--audio=../in/rain.wav", "--out=new.mp4", "--steps=2", "--size=16", "--flow=off"),
        *(f"--joint={JOINT}", "--unet=../weights/unet.safetensors", "--seconds=0.25"),
    ],
    "continuous": [
        *("--audio=../in/rain.wav", "--out=new.mp4", "--seconds=0.25", f"--generator={VIDEO_GENERATOR}"),
        *(f"--joint={JOINT}", "--content=seed"),
    ],
    "zero-shot": ["../in/esc", f"--joint={JOINT}"],
    "seeing": [
        *("--sources=2", "--steps=1", f"--joint={JOINT}", f"--generator={GENERATOR}", "--sounds=../in/empty folder"),
        "--judge=../weights/scene_classifier.safetensors",
    ],
    "sound-video": ["--sounds=1", "--seconds=0.5", f"--joint={JOINT}", f"--generator={GENERATOR}", "--trajectory=none"],
    "videos": ["../in", f"--joint={JOINT}", "--window=2"],
    "outside-sounds": ["--trajectory=none", "--seconds=0.25"],
    "told-pictures": ["--pictures=1", "--steps=1", f"--joint={JOINT}", "--unet=none"],
    "video-edit": ["--videos=1", "--frames=2", "--steps=1", f"--joint={JOINT}", "--unet=none"],
    "train": ["stylegan2", "--config=../in/types.toml", "--out=run"],
    "models": [],
    "inspect": ["../weights/generator.safetensors"],
    "convert": ["../weights/foreign.pkl", "--out=new.safetensors"],
    "download": ["wav2clip"],
}
OUTPUTS = {
    "manipulate": ["new.png", "new.jpg", "new.webp", "mine.png"],
    "convert": ["new.safetensors"],
    "train": ["run"],
    "demo": ["../in/rain.wav"],
    **{name: ["new.png"] for name in ("seeing", "sound-video", "outside-sounds", "video-edit")},
    **{
        name: ["new.mp4", "new.mkv", "new.webm", "new.mov", "new.gif", "new.webp", "new", "new frames"]
        for name in ("generate", "edit", "continuous")
    },
}
KINDS = {
    "audio": "sound", "video": "video", "image": "picture", "mask": "mask", "text": "words", "labels": "labels",
    "file": "weights", "generator": "weights", "unet": "weights", "trajectory": "weights", "judge": "weights",
}  # fmt: skip
PATHS = {
    *("audio", "video", "image", "mask", "out", "json", "joint", "generator", "unet", "trajectory", "judge", "flow"),
    *("file", "folder", "config", "sounds", "recordings"),
}
HEAVY = {"edit", "steps", "chunk", "window", "frames", "videos", "sources", "feather"}  # small where they are right


def commands(parser: argparse.ArgumentParser) -> dict[tuple[str, ...], argparse.ArgumentParser]:
    """(command,) or (command, part) => its parser, from the whole command line's."""
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                below = commands(inner)
                found |= {(name, *rest): last for rest, last in below.items()} if below else {(name,): inner}
    return found


class Lines:
    """next() => one line, as a list of arguments. The same seed gives the same lines."""

    def __init__(self, parser: argparse.ArgumentParser, seed: int):
        self.parsers = {name: each for name, each in commands(parser).items() if name != ("live",)}  # it never ends
        names = [
            name
            for name in self.parsers
            if name[-1] not in ("demo", "seeing", "sound-video", "outside-sounds", "video-edit", "told-pictures")
        ]
        self.names = names * 3 + sorted(self.parsers)  # those that are only ever refused less often
        self.rng = random.Random(seed)

    def next(self) -> list[str]:
        rng = self.rng
        name = rng.choice(self.names)
        given = list(USUAL[name[-1]])
        options = [a for a in self.parsers[name]._actions if not isinstance(a, argparse._HelpAction)]
        for _ in range(rng.choice((0, 1, 1, 1, 2, 2, 3, 5))):
            self._change(given, rng.choice(options), name[-1])
        if rng.random() < 0.05 and given:
            given.pop(rng.randrange(len(given)))
        if rng.random() < 0.04:
            given.append(
                rng.choice(["--unknown", "-x", "--", "--out", "--json", "--help", *STRANGE_PATHS, *STRANGE_WORDS])
            )
        if rng.random() < 0.1:
            rng.shuffle(given)
        line = [*name, *given]
        if rng.random() < 0.01:
            line = rng.choice(([], line[1:], ["--version"], [rng.choice(STRANGE_WORDS)], [*line, *line]))
        return line

    def _change(self, given: list[str], action: argparse.Action, command: str) -> None:
        """Gives one option another value; one that may be repeated sometimes twice."""
        option = action.option_strings[0] if action.option_strings else None
        places = [i for i, x in enumerate(given) if (x.startswith(f"{option}=") if option else not x.startswith("--"))]
        if action.nargs == 0:
            given.append(option)
            return
        value = self._value(action, command)
        if option is not None and action.nargs == "?" and self.rng.random() < 0.3:
            text = option
        elif option is None:
            text = value
        else:
            text = f"{option}={value}"
        if places and self.rng.random() < 0.85:
            given[self.rng.choice(places)] = text
        else:
            given.append(text)

    def _value(self, action: argparse.Action, command: str) -> str:
        rng, dest = self.rng, action.dest
        right = rng.random() < 0.4
        if dest == "device":
            return rng.choice(STRANGE_DEVICES)
        if action.choices:
            return str(rng.choice(list(action.choices))) if right else rng.choice(STRANGE_CHOICES)
        if action.type in (int, float) or dest in ("seed", "folds"):
            kind = "int" if action.type is not float else "float"
            return rng.choice(GOOD[kind]) if right else rng.choice(STRANGE_NUMBERS)
        if dest == "weight":
            return rng.choice(
                ["sound=1", "flow=0", "sound", "=1", "sound=nan", "x=1", "sound=-1", "sound=1e400", "a=b=c"]
            )
        if dest == "out" and right:
            return rng.choice(OUTPUTS.get(command, ["new"]))
        if dest == "json" and right:
            return rng.choice(["new.json", "new.json", "-"])
        if dest in PATHS or "PATH" in str(action.metavar):
            if command == "sound-video" and dest == "sounds":
                return rng.choice(STRANGE_NUMBERS)
            return rng.choice(GOOD[KINDS[dest]]) if right and dest in KINDS else rng.choice(STRANGE_PATHS)
        if dest in KINDS:
            return rng.choice(GOOD[KINDS[dest]]) if right else rng.choice(STRANGE_WORDS)
        return rng.choice(STRANGE_WORDS + STRANGE_PATHS + STRANGE_NUMBERS)
