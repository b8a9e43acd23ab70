"""How long the stages of a process keep the event loop for themselves, and when the others have it.

A provider may answer a whole menu without ever waiting. Its stages work in bursts, all together, and rest together.
"""

import asyncio
import time
from collections.abc import Sized

# All running stages together keep the loop for this share of each, and every one for one more answer: half a
# millisecond when a single job runs, so that its first results are on their way soon, and four under load, where what
# is answered in one go is committed in one go (64 stages: 20,000 results a second with half a millisecond, 27,000 with
# two).
BURST_SECONDS_A_STAGE = 0.00006
LONGEST_BURST_SECONDS = 0.004
# Between two bursts the loop is everybody else's for so long while only few stages run: a browser that opens its stream
# needs some ten turns, and has its first result after 6 ms instead of 9. Under load there is work enough in between.
PAUSE_SECONDS = 0.001
FEW_STAGES = 16
# Turns of the loop before a stage asks for its first answer: until the client that submitted has the address of the
# stream, and has asked for it. Its first result comes 1 to 2 ms earlier than when the stages are asked at once.
TURNS_OF_AN_ANSWER = 20


class Pace:
    """The bursts and rests of all running stages of a process; `running` are those stages, for their number."""

    def __init__(self, running: Sized) -> None:
        self._running = running
        self._rested_at = 0.0
        self._turn = 0
        self._turn_noted = False
        self._rest_over: asyncio.Event | None = None

    async def begin(self) -> None:
        """Wait before the first answer: for the client's next request, and for a burst that is not over.

        The client that submitted is about to open its stream, and would be behind eight first answers.
        """
        for _ in range(TURNS_OF_AN_ANSWER):
            await asyncio.sleep(0)
        if self._rest_over is None and time.perf_counter() - self._rested_at > PAUSE_SECONDS * 10:
            self._rested_at = time.perf_counter()
        if self._is_burst_over():
            await self.rest()

    def note_turn(self) -> int:
        """The number of the loop's present turn; another one stands there as soon as the loop has had one."""
        if not self._turn_noted:
            self._turn_noted = True
            asyncio.get_running_loop().call_soon(self._end_turn)
        return self._turn

    def must_rest(self, turn: int) -> bool:
        """Whether the burst is over for a stage whose answer came in the turn in which it was asked for.

        A provider that waits for its answers gives the loop its turns by itself.
        """
        return turn == self._turn and self._is_burst_over()

    async def rest(self) -> None:
        """Let everybody else have a turn; all stages that want to do so together.

        With a burst for each, eight stages kept the loop for eight bursts.
        """
        if self._rest_over is None:
            self._rest_over = asyncio.Event()
            pause = PAUSE_SECONDS if len(self._running) <= FEW_STAGES else 0
            asyncio.get_running_loop().call_later(pause, self._end_rest)
        await self._rest_over.wait()

    def _end_turn(self) -> None:
        self._turn += 1
        self._turn_noted = False

    def _is_burst_over(self) -> bool:
        longest = min(len(self._running) * BURST_SECONDS_A_STAGE, LONGEST_BURST_SECONDS)
        return time.perf_counter() - self._rested_at > longest

    def _end_rest(self) -> None:
        self._rested_at = time.perf_counter()
        rest_over, self._rest_over = self._rest_over, None
        if rest_over is not None:
            rest_over.set()
