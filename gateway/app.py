"""The ASGI application: routes over the services of one process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get
from litestar.datastructures import MutableScopeHeaders, State
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.static_files import create_static_files_router
from litestar.types import Message, Scope

from gateway.api import health, jobs, sessions, streams
from gateway.api.errors import EXCEPTION_HANDLERS
from gateway.api.reference import ReferenceDocument
from gateway.draining import SignalledDrain, drain
from gateway.services import Services, running
from infra.collector import spare_long_lived
from infra.settings import Settings
from infra.telemetry.logs import configure_logs

MAX_BODY_BYTES = 1_048_576
STATIC = Path(str(files("gateway"))) / "static"

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@get("/", include_in_schema=False)
async def live_page() -> Response[bytes]:
    """The live page."""
    return _page("index.html")


class DocsPage(OpenAPIRenderPlugin):
    """The API's reference as a page of our own: the usual viewers load their scripts from other hosts."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The page; it fetches the document itself."""
        return (STATIC / "docs.html").read_bytes()


def _page(name: str) -> Response[bytes]:
    return Response((STATIC / name).read_bytes(), media_type=MediaType.HTML, headers={"Cache-Control": "no-cache"})


def create_app(settings: Settings | None = None) -> Litestar:
    """The application of one process, from its settings (by default those of the environment)."""
    settings = settings or Settings()
    configure_logs(settings.telemetry)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with running(settings) as services:
            app.state.services = services
            draining = SignalledDrain(lambda: drain(services))
            draining.install()
            spare_long_lived()
            try:
                yield
            finally:
                draining.restore()

    return Litestar(
        route_handlers=[
            live_page,
            create_static_files_router("/static", directories=[STATIC], include_in_schema=False),
            jobs.submit_job,
            jobs.show_job,
            jobs.cancel_job,
            jobs.retry_stage,
            sessions.show_session,
            sessions.poll_events,
            streams.stream_session,
            streams.stream_job,
            health.live,
            health.ready,
            health.database,
            health.metrics,
        ],
        dependencies={"services": Provide(_services, sync_to_thread=False)},
        exception_handlers=EXCEPTION_HANDLERS,
        lifespan=[lifespan],
        openapi_config=OpenAPIConfig(
            title="Stagecast",
            version="1",
            path="/docs",
            render_plugins=[DocsPage(), ReferenceDocument()],
            use_handler_docstrings=True,
        ),
        request_max_body_size=MAX_BODY_BYTES,
        before_send=[_secure],
        logging_config=None,
    )


async def _secure(message: Message, _scope: Scope) -> None:
    # Here, and not as the framework's response headers, because errors and streams must have them too.
    if message["type"] == "http.response.start":
        headers = MutableScopeHeaders.from_message(message)
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)


def _services(state: State) -> Services:
    services: Services = state.services
    return services
