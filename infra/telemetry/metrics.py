"""The process's measurements, one object that is handed to whoever counts; `/metrics` renders its registry."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

_FAST_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_SLOW_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """All instruments, on a registry of their own so that two apps in one process never collide."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.connections = Gauge("stagecast_connections", "Open event streams", registry=registry)
        self.refused = Counter(
            "stagecast_connections_refused", "Streams answered with stream.busy", ["reason"], registry=registry
        )
        self.closed = Counter("stagecast_connections_closed", "Streams that are over", ["reason"], registry=registry)
        self.channels = Gauge("stagecast_channels", "Sessions with at least one open stream", registry=registry)
        self.delivered = Counter("stagecast_events_delivered", "Durable events written to sockets", registry=registry)
        self.committed = Counter("stagecast_events_committed", "Events appended to the log", registry=registry)
        self.commit_batch = Histogram(
            "stagecast_commit_batch_size", "Changes in one transaction", buckets=_SIZES, registry=registry
        )
        self.commit_seconds = Histogram(
            "stagecast_commit_seconds", "Duration of one group commit", buckets=_FAST_SECONDS, registry=registry
        )
        self.commit_retries = Counter(
            "stagecast_commit_retries", "Transactions tried again after a passing fault", registry=registry
        )
        self.commit_to_socket = Histogram(
            "stagecast_commit_to_socket_seconds",
            "From the event's commit to its write to a socket that was waiting for it",
            buckets=_FAST_SECONDS,
            registry=registry,
        )
        self.gap_repairs = Counter(
            "stagecast_gap_repairs", "Holes in a channel that were read from the log", ["cause"], registry=registry
        )
        self.log_reads = Counter("stagecast_log_reads", "Pages read from the log", registry=registry)
        self.bus_dropped = Counter("stagecast_bus_dropped", "Messages the bus could not send", registry=registry)
        self.bus_resubscribed = Counter(
            "stagecast_bus_resubscribed", "Times the subscriber came back", registry=registry
        )
        self.stage_seconds = Histogram(
            "stagecast_stage_seconds",
            "Duration of one attempt of a stage",
            ["kind", "stage"],
            buckets=_SLOW_SECONDS,
            registry=registry,
        )
        self.stage_outcomes = Counter(
            "stagecast_stage_attempts", "Ended attempts of stages", ["kind", "stage", "outcome"], registry=registry
        )
        self.jobs = Counter("stagecast_jobs_submitted", "Accepted jobs", ["kind"], registry=registry)
        self.task_restarts = Counter(
            "stagecast_task_restarts", "Background tasks that died and were restarted", ["task"], registry=registry
        )

    def render(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)
