"""The one command grammar of all platforms: text, taps and forms become the values of :mod:`core.commands.values`."""
