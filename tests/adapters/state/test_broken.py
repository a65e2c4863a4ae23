"""A connection that breaks just before something is written to it, under the event loop that processes run on."""

from __future__ import annotations

import asyncio

import pytest
import redis
import uvloop

from adapters.state.redis import link
from tests.servers import REDIS_MISSING, redis_url


def test_what_is_written_to_a_connection_that_has_just_broken_is_an_error_of_redis() -> None:
    url = redis_url() or pytest.skip(REDIS_MISSING)

    async def written() -> None:
        async with link(url) as connection, connection.subscriber("test") as client, client.pubsub() as channels:
            await channels.subscribe("test-broken")
            channels.connection._writer.transport.abort()
            with pytest.raises(redis.ConnectionError, match="closed"):
                await channels.subscribe("test-broken-too")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(written())
