"""A process that writes runs: `python -m tests.adapters.history.process URL NAME COUNT`.

Waits for a line on its standard input, then says each run's id as soon as the run is stored whole.
"""

from __future__ import annotations

import asyncio
import sys

from adapters.history import SqlHistory
from core.types import Study
from tests.adapters.history.samples import CHARTS, finished, new_run


async def main(url: str, name: str, count: int) -> None:
    print("ready", flush=True)
    sys.stdin.readline()
    async with SqlHistory(url) as history:

        async def one(number: int) -> None:
            run = new_run()
            run = finished(run.model_copy(update={"id": f"{name}-{number}"}))
            await history.open_run(run)
            for round_ in run.rounds:
                await asyncio.gather(*(history.record_outcome(run.id, round_.number, o) for o in round_.outcomes))
                await history.record_round(run.id, round_)
            assert run.analysis
            await history.record_study(run.id, Study(analysis=run.analysis, charts=CHARTS))
            await history.update_run(run)
            print(run.id, flush=True)

        room = asyncio.Semaphore(8)

        async def bounded(number: int) -> None:
            async with room:
                await one(number)

        await asyncio.gather(*(bounded(number) for number in range(count)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
