"""Downloads from a server that stalls, breaks off, lies and moves."""

from __future__ import annotations

import hashlib
import http.server
import socket
import threading

import pytest

from soundguide_core.checkpoints.download import download
from soundguide_core.common.errors import InputError

BODY = bytes(range(256)) * 1000
SHA = hashlib.sha256(BODY).hexdigest()
TAG = '"version 1"'
QUICK = {"timeout_sec": 0.5, "pause_sec": 0.001}


class Handler(http.server.BaseHTTPRequestHandler):
    """Each path misbehaves in its own way; server.seen lists (path, Range) of every request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.seen.append((self.path, wanted))
        self.count = sum(path == self.path for path, _ in self.server.seen)
        self.start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        getattr(self, self.path.strip("/").replace("-", "_"))()
        self.close_connection = True

    def send(self, body=BODY, *, length=None, sent=None, tag=TAG, ranges=True, code=200):
        """body from the asked place on; says `length`, sends only `sent` bytes of it"""
        start = self.start if ranges and self.headers.get("If-Range") == tag else 0
        part = body[start:]
        self.send_response(206 if start else code)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if length != -1:
            self.send_header("Content-Length", str(len(part) if length is None else length))
        if tag:
            self.send_header("ETag", tag)
        self.end_headers()
        self.wfile.write(part if sent is None else part[:sent])

    def whole(self):
        self.send()

    def no_length(self):
        self.send(length=-1)

    def breaks_once(self):
        self.send(sent=100_000 if self.count == 1 else None)

    def breaks_often(self):
        self.send(sent=50_000)

    def breaks_always(self):
        self.send(sent=0)

    def stalls(self):
        self.send(sent=100_000 if self.count == 1 else None)
        if self.count == 1:
            self.server.wake.wait(3)

    def stalls_always(self):
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.server.wake.wait(3)

    def ignores_range(self):
        self.send(sent=100_000 if self.count == 1 else None, ranges=False)

    def no_tag(self):
        self.send(sent=100_000 if self.count == 1 else None, tag="")

    def changes(self):
        if self.count == 1:
            self.send(bytes(len(BODY)), sent=100_000)
        else:
            self.send(tag='"version 2"')

    def other_part(self):
        if self.count != 2:
            return self.send(sent=100_000 if self.count == 1 else None)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes 0-9/{len(BODY)}")
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(BODY[:10])

    def says_more(self):
        self.send(length=len(BODY) + 5)

    def says_less(self):
        self.send(length=1000)

    def wrong(self):
        self.send(bytes(len(BODY)))

    def page(self):
        self.send(b"<html>Quota exceeded</html>")

    def longer(self):
        self.send(BODY + b"more", length=-1)

    def busy_once(self):
        self.send_error(503) if self.count == 1 else self.send()

    def gone(self):
        self.send_error(404)

    def secret(self):
        self.send_error(403)

    def moved(self):
        self.move("/whole")

    def round(self):
        self.move("/round")

    def to_file(self):
        self.move("file:///etc/passwd")

    def to_data(self):
        self.move("data:text/plain,hello")

    def move(self, place):
        self.send_response(302)
        self.send_header("Location", place)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.seen, server.wake = [], threading.Event()
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield server
        server.wake.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def fetch(server, tmp_path):
    return lambda path, **options: download(f"{server.url}/{path}", tmp_path / "a.pt", **{**QUICK, **options})


@pytest.mark.parametrize(
    "path, requests",
    [
        ("whole", 1),
        ("no-length", 1),
        ("breaks-once", 2),
        ("breaks-often", 6),
        ("stalls", 2),
        ("ignores-range", 2),
        ("no-tag", 2),
        ("changes", 2),
        ("other-part", 3),
        ("busy-once", 2),
        ("moved", 2),
    ],
)
def test_arrives_whole(fetch, server, tmp_path, path, requests):
    assert fetch(path, size=len(BODY), sha256=SHA).read_bytes() == BODY
    assert len(server.seen) == requests and [p.name for p in tmp_path.iterdir()] == ["a.pt"]


def test_a_length_that_is_put_right(fetch, server):
    assert fetch("says-more").read_bytes() == BODY and len(server.seen) == 2


def test_goes_on_where_it_broke_off(fetch, server):
    fetch("breaks-once")
    assert server.seen == [("/breaks-once", None), ("/breaks-once", "bytes=100000-")]


def test_progress(fetch):
    seen = []
    fetch("breaks-often", on_bytes=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1] == (len(BODY), len(BODY))
    seen.clear()
    fetch("no-length", on_bytes=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(BODY), 0)


@pytest.mark.parametrize(
    "path, options, why",
    [
        ("breaks-always", {}, "keeps breaking off"),
        ("stalls-always", {"timeout_sec": 0.05}, "keeps breaking off"),
        ("says-more", {"size": len(BODY)}, "256,005 bytes and should be 256,000"),
        ("says-less", {"size": len(BODY)}, "1,000 bytes and should be 256,000"),
        ("says-less", {"sha256": SHA}, "not the published file"),
        ("longer", {"size": len(BODY)}, "sends more than it should"),
        ("wrong", {"sha256": SHA}, "not the published file"),
        ("wrong", {"sha256": SHA[:8]}, "not the published file"),
        ("page", {"size": len(BODY)}, "27 bytes and should be 256,000"),
        ("gone", {}, "answers 404"),
        ("secret", {}, "answers 403"),
        ("round", {}, "answers 302"),
        ("to-file", {}, "answers 302"),
        ("to-data", {}, "answers 302"),
    ],
)
def test_refused(fetch, tmp_path, path, options, why):
    (tmp_path / "a.pt").write_bytes(b"the one before")
    with pytest.raises(InputError, match=why) as error:
        fetch(path, **options)
    assert error.value.cause.endswith(".") and error.value.remedy.endswith(".")
    assert (tmp_path / "a.pt").read_bytes() == b"the one before"
    left = {p.name for p in tmp_path.iterdir()} - {"a.pt"}
    assert not left or "the same command goes on" in error.value.remedy


def test_a_later_run_goes_on(fetch, server, tmp_path):
    with pytest.raises(ZeroDivisionError):
        fetch("breaks-once", on_bytes=lambda done, total: 1 / (done < 100_000))
    assert (tmp_path / ".a.pt.soundguide-download").stat().st_size > 0 and not (tmp_path / "a.pt").exists()
    server.seen.clear()
    assert fetch("whole", sha256=SHA).read_bytes() == BODY
    assert server.seen[0][1].startswith("bytes=")


def test_a_later_run_does_not_join_two_versions(fetch, tmp_path):
    (tmp_path / ".a.pt.soundguide-download").write_bytes(bytes(5000))
    (tmp_path / ".a.pt.soundguide-download.version").write_text('"version 0"')
    assert fetch("whole").read_bytes() == BODY
    (tmp_path / ".a.pt.soundguide-download").write_bytes(bytes(5000))  # from nobody knows where
    assert fetch("whole").read_bytes() == BODY


def test_what_is_not_what_it_should_be_goes(fetch, tmp_path):
    def check(path):
        raise InputError(f"{path.stat().st_size} bytes of nothing.", "Look elsewhere.")

    with pytest.raises(InputError, match="27 bytes of nothing"):
        fetch("page", check=check)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["", "a.pt", "file:///etc/passwd", "ftp://example.org/a", "https://", "javascript:1"])
def test_only_web_addresses(tmp_path, url):
    with pytest.raises(InputError, match="no web address"):
        download(url, tmp_path / "a.pt")


def test_nobody_there(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(InputError, match="keeps breaking off"):
            download(f"http://127.0.0.1:{closed.getsockname()[1]}/a", tmp_path / "a.pt", **QUICK)
    with pytest.raises(InputError, match="cannot be reached"):
        download("http://nobody.invalid/a", tmp_path / "a.pt", **QUICK)


def test_a_small_disk(fetch, monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(InputError, match="Free some space"):
        fetch("whole")


def test_places_that_cannot_be_written(tmp_path):
    for place in (tmp_path, tmp_path / "no" / "a.pt"):
        with pytest.raises(InputError):
            download("http://127.0.0.1:1/a", place, **QUICK)
