"""Every fault that the schedule may draw; each maker takes what is left to chance from the given source."""

from tests.faults.harness.fault import FaultMaker
from tests.faults.harness.faults.database import DiskFull, PostgresKilled, PostgresPaused, PostgresStopped, SqliteLocked
from tests.faults.harness.faults.gateway import (
    ClockCorrected,
    ClockJumped,
    GatewayKilled,
    GatewayPaused,
    GatewayStopped,
)
from tests.faults.harness.faults.redis import (
    RedisFlushed,
    RedisKilled,
    RedisLinkHalfOpen,
    RedisPaused,
    SubscribersKilled,
)
from tests.faults.harness.faults.submitter import AnswerLost
from tests.faults.harness.faults.viewer import ViewerDropped, ViewerLinkHalfOpen, ViewerPaused, ViewerSlow

FAULTS: tuple[FaultMaker, ...] = (
    lambda chance: RedisKilled(),
    lambda chance: RedisPaused(),
    lambda chance: RedisFlushed(),
    lambda chance: SubscribersKilled(),
    lambda chance: RedisLinkHalfOpen(0),
    lambda chance: RedisLinkHalfOpen(1),
    lambda chance: GatewayKilled(0),
    lambda chance: GatewayKilled(1),
    lambda chance: GatewayStopped(0),
    lambda chance: GatewayStopped(1),
    lambda chance: GatewayPaused(0),
    lambda chance: GatewayPaused(1),
    lambda chance: ClockJumped(chance.choice((-5, -1, 3, 7))),
    lambda chance: ClockCorrected(),
    lambda chance: PostgresStopped(),
    lambda chance: PostgresKilled(),
    lambda chance: PostgresPaused(),
    lambda chance: SqliteLocked(),
    lambda chance: DiskFull(),
    lambda chance: ViewerPaused(chance),
    lambda chance: ViewerDropped(chance),
    lambda chance: ViewerSlow(chance),
    lambda chance: ViewerLinkHalfOpen(chance),
    lambda chance: AnswerLost(),
)
