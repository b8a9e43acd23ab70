"""P11, end to end: what a result costs as the work grows, against P6's work on the same gateway in the same round.

Ten times the sessions and ten times the dishes are done by one gateway, with plain rounds before, between and after
them. The long past (a million events of 5,600 other sessions, see `old_log.py`) has a gateway of its own on a file that
the rounds share: they add 4 % to it each.
"""

import sqlite3
import statistics
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtests.bench.bars import Bar, Goal, Kind, Run
from loadtests.bench.machine import Cores
from loadtests.bench.old_log import grow_past
from loadtests.bench.programs import OURS, Setting, running
from loadtests.bench.rounds import Crew, Load, Round

WORK = Load(sessions=50, dishes=20)
TEN_TIMES_SESSIONS = Load(sessions=500, dishes=20)
TEN_TIMES_DISHES = Load(sessions=50, dishes=200)
PAST_EVENTS = 1_000_000
GROWTHS = ("sessions", "dishes", "past")
MOST = 1.25


class Growth:
    """Measures P11 on these cores; the file with the past is made once and goes with this object."""

    def __init__(self, cores: Cores) -> None:
        self._cores = cores
        self._directory: TemporaryDirectory[str] | None = None

    async def measure(self, program: str, pair: int) -> Run:
        """Microseconds per result of each growth, and their ratios to the plain work of this round."""
        plain, grown = await self._more_work()
        grown["past"] = await self._long_past()
        return Run(program, pair, growth_figures(plain, grown))

    async def _more_work(self) -> tuple[list[Round], dict[str, list[Round]]]:
        with running(OURS, self._cores, Setting()) as server:
            crew = Crew(server.port, server.wire, server.pids)
            await crew.work(WORK)
            plain, grown = [await crew.work(WORK)], {}
            for name, load in (("sessions", TEN_TIMES_SESSIONS), ("dishes", TEN_TIMES_DISHES)):
                grown[name] = [await crew.work(load)]
                plain.append(await crew.work(WORK))
            crew.leave()
        return plain, grown

    async def _long_past(self) -> list[Round]:
        setting = Setting(database=f"sqlite+aiosqlite:///{await self._past()}")
        with running(OURS, self._cores, setting) as server:
            crew = Crew(server.port, server.wire, server.pids)
            await crew.work(WORK)
            rounds = [await crew.work(WORK) for _ in range(3)]
            crew.leave()
        check_past(await self._past())
        return rounds

    async def _past(self) -> Path:
        if self._directory is not None:
            return Path(self._directory.name, "past.db")
        directory = TemporaryDirectory(prefix="stagecast-past-")
        path = Path(directory.name, "past.db")
        with running(OURS, self._cores, Setting(database=f"sqlite+aiosqlite:///{path}")) as server:
            crew = Crew(server.port, server.wire, server.pids)
            await crew.work(Load(1, WORK.dishes))
            crew.leave()
        grow_past(path, PAST_EVENTS)
        check_past(path)
        self._directory = directory
        return path


def check_past(database: Path, events: int = PAST_EVENTS) -> None:
    """Raise RuntimeError when the log is shorter than it has to be: the retention may have taken something."""
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM event").fetchone()
    if count < events:
        raise RuntimeError(f"{count} events in a log that should have {events}")


def growth_figures(plain: Sequence[Round], grown: dict[str, list[Round]]) -> dict[str, float]:
    """Processor and wall time per result: medians, and the ratios that the goals look at; and our client's share."""
    everything = [*plain, *(one for rounds in grown.values() for one in rounds)]
    share = sum(one.client_seconds for one in everything) / sum(one.seconds for one in everything)
    cpu = statistics.median(one.cpu_us_per_result for one in plain)
    wall = statistics.median(one.wall_us_per_result for one in plain)
    figures = {"plain_cpu_us": cpu, "plain_wall_us": wall, "client_share": share}
    for name, rounds in grown.items():
        grown_cpu = statistics.median(one.cpu_us_per_result for one in rounds)
        grown_wall = statistics.median(one.wall_us_per_result for one in rounds)
        figures |= {
            f"{name}_cpu_us": grown_cpu,
            f"{name}_wall_us": grown_wall,
            f"{name}_cpu_x": grown_cpu / cpu,
            f"{name}_wall_x": grown_wall / wall,
        }
    return figures


def bar(cores: Cores) -> Bar:
    """P11's half that is end to end."""
    goals = [Goal(f"{name}_{cost}_x", Kind.VALUE, MOST) for name in GROWTHS for cost in ("cpu", "wall")]
    title = "cost of a result against P6's: ten times the sessions, ten times the dishes, 1,000,000 old events"
    return Bar("P11e", title, goals, [OURS], Growth(cores).measure)
