"""What the queue's library says of an outage becomes a short warning; what is a fault of its own stays an error."""

from __future__ import annotations

import logging

import pytest
import redis.exceptions

from adapters.state.quiet import hush


@pytest.mark.parametrize("error", [redis.exceptions.ConnectionError("gone"), ConnectionResetError("gone")])
def test_an_outage_is_a_warning_in_one_line(caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    hush()
    hush()
    try:
        raise error
    except type(error):
        logging.getLogger("docket.worker").exception("Error in %s loop", "scheduler")
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.exc_info is None
    assert record.getMessage() == f"Error in scheduler loop ({type(error).__name__})"


def test_a_fault_stays_an_error_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    hush()
    try:
        raise ValueError("wrong")
    except ValueError:
        logging.getLogger("docket.worker").exception("Error in %s loop", "scheduler")
    (record,) = caplog.records
    assert (record.levelname, record.exc_info is not None) == ("ERROR", True)
