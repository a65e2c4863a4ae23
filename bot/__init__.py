"""Command line, settings, composition and process loops."""
