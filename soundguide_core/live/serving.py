"""The page offered from a thread, for a program that has something else to do meanwhile: its port is free again after.

    with offered(make_session, folder, port) as page:
        print(page.address)
        page.done.wait()
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..common.errors import InputError
from .server import HOST, make_app
from .session import LiveSession, Shown

CLOSES_WITHIN_SEC = 2.0


@dataclass
class Offered:
    """address: of the page. done: set when its listener has pressed "Done"."""

    port: int = 0
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.port}"


@contextmanager
def offered(
    make_session: Callable[[Callable[[Shown], None]], LiveSession], folder: str | os.PathLike, port: int = 0
) -> Iterator[Offered]:
    """The page, until the block ends. port: 0 takes any that is free. The rest as of make_app.

    Raises:
        InputError: another program has the port, or aiohttp is not installed.
    """
    page, loop = Offered(), asyncio.new_event_loop()
    app = make_app(make_session, folder, page.done.set)
    thread = threading.Thread(target=_run, args=(loop,), daemon=True)
    thread.start()
    try:
        runner, page.port = asyncio.run_coroutine_threadsafe(_start(app, port), loop).result()
        try:
            yield page
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10 * CLOSES_WITHIN_SEC)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(CLOSES_WITHIN_SEC)


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()
    loop.close()


async def _start(app, port: int):
    """=> (what is to be cleaned up, the port that is served)."""
    from aiohttp import web

    runner = web.AppRunner(app, shutdown_timeout=CLOSES_WITHIN_SEC)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
    except OSError as error:
        await runner.cleanup()
        raise InputError(
            f"The page cannot be offered at port {port} ({error.strerror or error}).", "Give another port."
        ) from error
    return runner, runner.addresses[0][1]
