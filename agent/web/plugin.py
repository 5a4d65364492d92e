"""The Datasette plugin: the page for each address, and the headers of every answer.

Language models and their subjects wrote what a page shows, so nothing in it may run: scripts and styles come only from
this server, every text is escaped, and the server answers only under this machine's own names, because a foreign name
would let another site read the pages (DNS rebinding).
"""

# pyright: standard
# (Datasette has no types)

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasette import Response, hookimpl
from markupsafe import Markup, escape

from ...db.errors import NoSuchId, NotAnId, NotRecorded, TrackerError
from ...db.read.reader import Reader
from ...tools.report.render import POLICY
from . import compare_page, pages, run_page
from .templates import asset, fill

ID = r"(?P<id>[RENHCrenhc][0-9]{1,18})"
STRICT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# A report is one file that contains its style and script.
ONE_FILE = f"{POLICY}; base-uri 'none'; frame-ancestors 'none'"
# Datasette writes inline scripts into its pages. They may not load anything from elsewhere either.
DATASETTE = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HERE = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?", re.IGNORECASE)

# A function of the reader and the values in the address that returns (template, rows).
Page = Callable[[Reader, dict[str, str]], tuple[str, dict[str, Any]]]


class Pages:
    """The hooks that Datasette calls. `path` is the tracker's file."""

    # Datasette expects a module and reads its name.
    __name__ = __name__

    def __init__(self, path: Path) -> None:
        self.path = path

    @hookimpl
    def register_routes(self) -> list[tuple[str, Callable[..., Any]]]:
        return [
            (r"/$", self._page(pages.runs)),
            (r"/experiments$", self._page(pages.experiments)),
            (r"/notes$", self._page(pages.notes)),
            (r"/hypotheses$", self._page(pages.hypotheses)),
            (r"/compare$", self._page(compare_page.compare)),
            (rf"/{ID}$", self._page(pages.anything)),
            (rf"/{ID}/conversation$", self._page(run_page.conversation)),
            (rf"/{ID}/live\.json$", self._live),
            (rf"/{ID}/report\.html$", self._report),
            (r"/(?P<name>style\.css|script\.js)$", _asset),
        ]

    @hookimpl
    def asgi_wrapper(self) -> Callable[[Any], Any]:
        return guarded

    @hookimpl
    def menu_links(self) -> list[dict[str, str]]:
        return [{"href": href, "label": label} for href, label in pages.PLACES]

    @hookimpl
    def render_cell(self, value: Any) -> Markup | None:
        """In Datasette's tables, link an id to its page."""
        known = isinstance(value, str) and re.fullmatch(r"[RENHC][0-9]{1,18}", value)
        return Markup(f'<a href="/{escape(value)}">{escape(value)}</a>') if known else None

    def _page(self, page: Page) -> Callable[..., Any]:
        async def answer(request: Any) -> Response:
            return await asyncio.to_thread(self._answered, page, _asked(request))

        return answer

    def _answered(self, page: Page, asked: dict[str, str]) -> Response:
        try:
            with Reader.open(self.path) as reader:
                if (found := pages.address_of_id(reader, asked)) is not None:
                    return Response.redirect(found)
                template, rows = page(reader, asked)
                return Response.html(fill(template, rows, reader), headers={"content-security-policy": STRICT})
        except TrackerError as error:
            return self._fault(error)

    async def _live(self, request: Any) -> Response:
        def read() -> Response:
            try:
                with Reader.open(self.path) as reader:
                    return Response.json(run_page.live(reader, _asked(request)), headers={"cache-control": "no-store"})
            except TrackerError as error:
                return Response.json({"error": str(error)}, status=_status(error))

        return await asyncio.to_thread(read)

    async def _report(self, request: Any) -> Response:
        def read() -> Response:
            try:
                with Reader.open(self.path) as reader:
                    html = run_page.report(reader, _asked(request))
                    return Response.html(html, headers={"content-security-policy": ONE_FILE})
            except TrackerError as error:
                return self._fault(error)

        return await asyncio.to_thread(read)

    def _fault(self, error: TrackerError) -> Response:
        html = fill("fault.html.j2", {"fault": str(error), "db": self.path.name}, None)
        return Response.html(html, status=_status(error), headers={"content-security-policy": STRICT})


def _asked(request: Any) -> dict[str, str]:
    return {name: request.args.get(name) for name in request.args} | dict(request.url_vars)


def _status(error: TrackerError) -> int:
    return 404 if isinstance(error, NoSuchId | NotAnId | NotRecorded) else 500


async def _asset(request: Any) -> Response:
    text, kind = asset(request.url_vars["name"])
    return Response(text, content_type=kind, headers={"cache-control": "no-cache"})


def guarded(app: Any) -> Any:
    """Wrap the application: answer only under this machine's own names, and add headers to every page."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message["headers"]}
                rest = {
                    b"content-security-policy": DATASETTE.encode(),
                    b"x-content-type-options": b"nosniff",
                    b"referrer-policy": b"no-referrer",
                }
                more = [[name, value] for name, value in rest.items() if name not in there]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or not HERE.fullmatch(hosts[0]):
            refused = Response("This server answers only as 127.0.0.1 or localhost.\n", status=421)
            await refused.asgi_send(with_headers)
            return
        if scope["method"] not in ("GET", "HEAD"):
            refused = Response("This server is read-only.\n", status=405, headers={"allow": "GET, HEAD"})
            await refused.asgi_send(with_headers)
            return
        await app(scope, receive, with_headers)

    return answer
