"""`python -m tests.emulators.slack [port]`: an emulator for manual trials, until interrupted."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from .emulator import SlackEmulator


async def serve(port: int) -> None:
    """Run an emulator in socket mode and print what an app needs to reach it."""
    async with SlackEmulator(port=port) as slack:
        print(f"SLACK_API_URL={slack.api_url}")
        print(f"SLACK_BOT_TOKEN={slack.bot_token}")
        print(f"SLACK_APP_TOKEN={slack.app_token}")
        print(f"SLACK_SIGNING_SECRET={slack.signing_secret}")
        example = '{"line": "/consortium ask Why is the sky blue?"}'
        print(f"# curl -d '{example}' {slack.base_url}/_ctl/command", flush=True)
        print(f"# curl {slack.base_url}/_ctl/state")
        print(f"# look at {slack.base_url}/_ctl/view?width=360", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
