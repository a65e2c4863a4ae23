"""What connects the core to the world: models, state, history, Slack, Discord, the web page."""
