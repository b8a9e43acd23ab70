"""Starts what the end-to-end bars compare, each on its core, on a fresh database, and gone at the end."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from loadtests.bench.machine import Cores, family, on_core
from loadtests.bench.peers.plain_process import PlainProcess, check_present
from loadtests.probe import PLAIN_WAY, STAGECAST, Wire
from tests.gateway_process import GatewayProcess
from tests.servers import PostgresServer, RedisServer, Server

OURS = "stagecast"
PLAIN = "plain-way"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a program runs with. `database` None: a SQLite file of its own. `redis` False: the bus inside the process.

    `settings` are the gateway's environment variables without their prefix.
    """

    redis: bool = True
    postgres: bool = False
    database: str | None = None
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """A program that answers: where, how to talk to it, its processes, and the servers that it uses."""

    port: int
    wire: Wire
    pids: list[int]
    redis: RedisServer | None
    servers: list[Server]

    @property
    def server_pids(self) -> list[int]:
        """The processes of Redis and PostgreSQL, as many as there are now: PostgreSQL's workers come and go."""
        return [pid for server in self.servers if server.process for pid in family(server.process.pid)]


@contextmanager
def running(program: str, cores: Cores, setting: Setting) -> Iterator[Running]:
    """The program on the measured core, its servers on the other one. Raises Absent for a peer that can't run here."""
    if program == PLAIN:
        check_present()
    with ExitStack() as stack:
        redis, database, servers = None, setting.database, list[Server]()
        with on_core(cores.others):
            if setting.redis:
                servers.append(redis := stack.enter_context(RedisServer()))
            if setting.postgres:
                servers.append(postgres := stack.enter_context(PostgresServer()))
                database = postgres.create_database()
        server: Server
        if program == PLAIN:
            assert redis is not None
            server, wire = PlainProcess(redis.url, database), PLAIN_WAY
        else:
            settings = {"PROVIDER": "synthetic", **setting.settings}
            url = redis.url if redis else None
            server, wire = GatewayProcess(database, redis_url=url, settings=settings), STAGECAST
        stack.callback(server.close)
        with on_core(cores.measured):
            server.start()
        assert server.process is not None
        # Killed at the end: nobody is connected any more, and a drain would take longer than the work.
        yield Running(server.port, wire, family(server.process.pid), redis, servers)
