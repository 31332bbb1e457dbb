"""The live page in a headless Chromium whose microphone plays a recording: pictures a second, and sound to picture.

    python benchmarks/live.py rain.wav --picture live.png

Needs playwright and a Chromium (--chromium). The delay is from the moment when the page has a block of samples until it
has drawn the first picture that heard it; what the sound card takes before that is not in it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", help="a WAV file, played over and over")
    parser.add_argument("--python", default=sys.executable, help="the Python that SoundGuide runs in")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--port", type=int, default=8195)
    parser.add_argument("--picture", help="where a screenshot of the page goes")
    parser.add_argument("options", nargs="*", help="further options of the command live, after --")
    args = parser.parse_args()
    url = f"http://127.0.0.1:{args.port}"
    with tempfile.TemporaryDirectory() as folder:
        command = [args.python, "-m", "soundguide_core", "live", "--port", str(args.port), "--out", folder]
        server = subprocess.Popen([*command, *args.options], cwd=ROOT)
        try:
            wait_for(url, server)
            report = measure(url, args)
        finally:
            server.terminate()
            server.wait()
        report["recorded"] = {path.name: path.stat().st_size for path in Path(folder).iterdir()}
    print(json.dumps(report, indent=2))


def wait_for(url: str, server: subprocess.Popen) -> None:
    while server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            time.sleep(0.3)
    sys.exit("The server ended.")


def measure(url: str, args: argparse.Namespace) -> dict:
    fake = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={Path(args.recording).resolve()}",
    ]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=args.chromium, args=["--headless", "--no-sandbox", "--disable-gpu", *fake]
        )
        page = browser.new_page(viewport={"width": 1100, "height": 760})
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(url)
        page.click("#microphone")
        page.wait_for_timeout(4000)
        page.click("#record")
        before = page.evaluate("window.measured.pictures")
        began = time.monotonic()
        page.wait_for_timeout(1000 * args.seconds)
        passed = time.monotonic() - began
        pictures = page.evaluate("window.measured.pictures") - before
        delays = page.evaluate("window.measured.delays")
        if args.picture:
            page.screenshot(path=args.picture)
        page.click("#record")
        page.wait_for_timeout(1500)
        state = page.inner_text("#state")
        browser.close()
    return {
        "pictures_per_second": round(pictures / passed, 2),
        "sound_to_picture_ms": {q: round(float(np.quantile(delays, float(q))), 1) for q in ("0.5", "0.9", "0.99")},
        "errors": wrong,
        "state": state,
    }


if __name__ == "__main__":
    main()
