"""`python -m tests.emulators.discord` starts an emulator, prints where it is, and serves until interrupted."""

from __future__ import annotations

import asyncio

from tests.emulators.discord import DiscordEmulator


async def main() -> None:
    """Serve until interrupted."""
    async with DiscordEmulator(rates=False) as emulator:
        print(f"DISCORD_API_URL={emulator.api_url}")
        print(f"DISCORD_GATEWAY_URL={emulator.gateway_url}")
        print(f"DISCORD_BOT_TOKEN={emulator.token}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        print()
