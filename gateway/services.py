"""The composition root: every part of a process, made once, started and stopped in order."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from gateway.access import Access
from gateway.streaming.admission import Admission
from gateway.streaming.hub import Hub
from gateway.streaming.response import StreamContext
from infra.bus.base import Bus
from infra.bus.memory import MemoryBus
from infra.bus.redis import RedisBus
from infra.database.committer import Committer
from infra.database.continuity import Continuity
from infra.database.engine import Database
from infra.database.leases import Leases
from infra.database.log import EventLog
from infra.database.migrate import schema_is_current
from infra.database.repositories.inputs import JobInputs
from infra.database.repositories.snapshots import Snapshots
from infra.database.retention import Retention
from infra.dispatch.local import LocalDispatcher
from infra.errors import StagecastError
from infra.providers.base import Provider
from infra.providers.builtin.provider import BuiltinProvider
from infra.providers.synthetic import SyntheticProvider
from infra.settings import Settings
from infra.tasks import Supervisor
from infra.telemetry.metrics import Metrics
from pipeline.inputs import Inputs
from pipeline.jobs import Jobs
from pipeline.reconciler import Reconciler
from pipeline.runner import Runner

log = structlog.stdlib.get_logger(__name__)


class SchemaOutdated(StagecastError):
    """The database does not have the newest schema; run `stagecast migrate` first."""

    slug = "schema-outdated"


@dataclass(frozen=True, slots=True)
class Services:
    """What the handlers use."""

    settings: Settings
    database: Database
    bus: Bus
    log: EventLog
    snapshots: Snapshots
    jobs: Jobs
    hub: Hub
    admission: Admission
    streams: StreamContext
    dispatcher: LocalDispatcher
    access: Access
    supervisor: Supervisor
    metrics: Metrics


def make_provider(settings: Settings) -> Provider:
    """The provider that the settings name."""
    if settings.provider == "synthetic":
        return SyntheticProvider(settings.synthetic)
    return BuiltinProvider.load()


def make_bus(settings: Settings, supervisor: Supervisor, metrics: Metrics) -> Bus:
    """Redis pub/sub when a URL is set, else the bus inside this process."""
    if settings.redis.url is None:
        return MemoryBus()
    return RedisBus(settings.redis.url.get_secret_value(), settings.sse.channel_prefix, supervisor, metrics)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Services]:
    """Start everything; at the end stop it in reverse, so that running stages can still hand their leases back.

    Raises DatabaseUnavailable or SchemaOutdated before anything has started.
    """
    metrics = Metrics()
    supervisor = Supervisor(metrics)
    database = Database(settings.database)
    continuity = Continuity(database)
    closing = AsyncExitStack()
    closing.callback(continuity.close)
    closing.push_async_callback(database.close)
    try:
        if not await schema_is_current(database):
            raise SchemaOutdated
        await continuity.check_at_start()
        access = await Access.load(settings.access, database)
        provider = make_provider(settings)
        bus = make_bus(settings, supervisor, metrics)
        closing.push_async_callback(bus.close)
        event_log, snapshots, leases = EventLog(database), Snapshots(database), Leases(database)
        committer = Committer(database, continuity.noting(bus.publish), metrics)
        closing.callback(committer.close)
        closing.push_async_callback(supervisor.stop)
        runner = Runner(provider, Inputs(JobInputs(database)), committer, leases, settings, metrics)
        dispatcher = LocalDispatcher(runner.run, settings.processing.concurrency)
        jobs = Jobs(committer, snapshots, dispatcher, runner, provider, settings.processing.max_attempts, metrics)
        hub = Hub(bus, event_log, settings.sse, supervisor, metrics, continuity.renew)
        admission = Admission(settings.sse, metrics)
        streams = StreamContext(hub, admission, event_log, snapshots, settings.sse, metrics)
        reconciler = Reconciler(leases, dispatcher.dispatch)
        closing.push_async_callback(hub.close)
        closing.push_async_callback(dispatcher.stop)
        closing.callback(hub.drain)

        supervisor.start("committer", committer.run)
        await hub.start()
        supervisor.start("leases", lambda: runner.keep_leases(dispatcher.cancel))
        supervisor.start("reconciler", reconciler.run)
        supervisor.start("retention", Retention(database, settings.log).run)
        supervisor.start("continuity", continuity.watch)
        log.info(
            "started",
            environment=settings.environment,
            provider=provider.name,
            bus=type(bus).__name__,
            database=database.url.get_backend_name(),
        )
        yield Services(
            settings,
            database,
            bus,
            event_log,
            snapshots,
            jobs,
            hub,
            admission,
            streams,
            dispatcher,
            access,
            supervisor,
            metrics,
        )
    finally:
        await closing.aclose()
        log.info("stopped")
