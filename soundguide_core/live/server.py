"""The page and its socket, on this machine alone.

    GET /         the page
    GET /socket   from the page: blocks of samples, 8 bytes of time stamp and float32, and settings as JSON;
                  to the page: pictures, a line of JSON and a JPEG, as fast as they are painted and taken

Loopback only: another machine cannot connect, and a page of another origin is refused. One listener at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
import weakref
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.errors import InputError
from .config import LiveConfig
from .session import LiveSession, Shown

if TYPE_CHECKING:
    from aiohttp import web

HOST = "127.0.0.1"
PAGE = Path(__file__).with_name("page.html")
LARGEST_BLOCK = 1 << 20  # bytes
SLIDERS = ("strength", "smoothing", "drift", "seed", "psi")


def make_app(
    make_session: Callable[[Callable[[Shown], None]], LiveSession],
    folder: str | os.PathLike,
    on_done: Callable[[], None] | None = None,
) -> web.Application:
    """make_session(show): a listener that is not yet running. folder: where recordings go. on_done: called when the
    page's button "Done" is pressed, which is there where somebody waits for it.

    Raises:
        InputError: aiohttp is not installed.
    """
    try:
        from aiohttp import WSMsgType, web
    except ImportError as error:
        raise InputError(
            "The live page needs the package aiohttp.", "Install it with `pip install aiohttp`."
        ) from error
    busy, open_now = asyncio.Lock(), weakref.WeakSet()

    async def page(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE, headers={"Cache-Control": "no-store"})

    async def socket(request: web.Request) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        if origin is not None and origin not in (f"http://{request.host}", f"http://localhost:{request.url.port}"):
            raise web.HTTPForbidden(text="This socket is for its own page.")
        if busy.locked():
            raise web.HTTPConflict(text="Somebody is listening already.")
        connection = web.WebSocketResponse(max_msg_size=LARGEST_BLOCK)
        async with busy:
            await connection.prepare(request)
            open_now.add(connection)
            loop, latest, news = asyncio.get_running_loop(), [], asyncio.Event()

            def show(shown: Shown) -> None:
                loop.call_soon_threadsafe(lambda: (latest.__setitem__(slice(None), [shown]), news.set()))

            with make_session(show) as session:
                sending = asyncio.create_task(_send(connection, session, latest, news))
                await connection.send_json(
                    {"settings": asdict(session.config), "sliders": _sliders(), "awaited": on_done is not None}
                )
                try:
                    async for message in connection:
                        if message.type == WSMsgType.BINARY:
                            try:
                                _push(session, message.data)
                            except InputError as error:
                                await connection.send_json({"error": str(error)})
                        elif message.type == WSMsgType.TEXT and on_done is not None and '"done"' in message.data:
                            on_done()
                        elif message.type == WSMsgType.TEXT:
                            await connection.send_json(_obey(session, message.data, folder))
                finally:
                    sending.cancel()
        return connection

    async def close(_: web.Application) -> None:
        for connection in list(open_now):
            await connection.close()

    app = web.Application()
    app.on_shutdown.append(close)
    app.add_routes([web.get("/", page), web.get("/socket", socket)])
    return app


async def _send(connection: web.WebSocketResponse, session: LiveSession, latest: list, news: asyncio.Event) -> None:
    """The newest picture, whenever the last one has gone out."""
    while not connection.closed:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(news.wait(), timeout=1)
        if session.error is not None:
            await connection.send_json({"error": str(session.error)})
            return
        if not news.is_set():
            continue
        news.clear()
        shown: Shown = latest[0]
        head = {
            "number": shown.number,
            "loudness": round(shown.loudness, 4),
            "stamp": shown.stamp,
            "fps": round(shown.fps, 2),
            "words": {word: round(share, 4) for word, share in shown.words.items()},
        }
        await connection.send_bytes(json.dumps(head).encode() + b"\n" + shown.jpeg)


def _push(session: LiveSession, data: bytes) -> None:
    """time stamp and rate, two float64, then float32 samples."""
    if len(data) < 16 or len(data) % 4:
        raise InputError("The page sent a block that is no sound.", "Load the page again.")
    stamp, sample_rate = struct.unpack("<dd", data[:16])
    session.push(np.frombuffer(data, "<f4", offset=16), sample_rate, stamp)


def _obey(session: LiveSession, text: str, folder: str | os.PathLike) -> dict[str, Any]:
    """text: a JSON object of settings to change, or {"record": true or false}; what to answer."""
    try:
        asked = json.loads(text)
        if "record" in asked:
            if asked["record"]:
                return {"recording": session.record(folder).name}
            path = session.stop_recording()
            return {"recorded": None if path is None else str(path)}
        session.change(**{name: asked[name] for name in SLIDERS if name in asked})
        return {"settings": asdict(session.config)}
    except (InputError, ValueError, TypeError) as error:
        return {"error": str(error)}


def _sliders() -> dict[str, dict[str, float]]:
    """Bounds and steps of what the page offers."""
    known = {each.name: each.metadata["setting"] for each in fields(LiveConfig) if "setting" in each.metadata}
    return {
        name: {"min": known[name].low or 0, "max": min(known[name].high, 999), "step": known[name].step or 1}
        for name in SLIDERS
    }
