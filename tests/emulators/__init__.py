"""Strict local stand-ins for the platforms: Slack, Discord and a model provider."""
