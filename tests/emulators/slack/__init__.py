"""A strict Slack workspace on the loopback interface, for tests of an app over real sockets."""

from .emulator import SlackEmulator
from .inputs import RefusedByClient
from .journal import Ack, Attempt, Call, Delivery, Violation
from .views import View
from .workspace import Ephemeral, File, Message, Stream, Task

__all__ = [
    "Ack",
    "Attempt",
    "Call",
    "Delivery",
    "Ephemeral",
    "File",
    "Message",
    "RefusedByClient",
    "SlackEmulator",
    "Stream",
    "Task",
    "View",
    "Violation",
]
