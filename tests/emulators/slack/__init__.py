"""A strict Slack workspace on the loopback interface, for tests of an app over real sockets."""

from .emulator import SlackEmulator
from .journal import Ack, Attempt, Call, Delivery, Violation
from .workspace import Ephemeral, File, Message

__all__ = ["Ack", "Attempt", "Call", "Delivery", "Ephemeral", "File", "Message", "SlackEmulator", "Violation"]
