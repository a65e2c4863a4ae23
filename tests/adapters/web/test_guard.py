"""Who is let in: this machine, by a name of this machine, and no other site's page."""

from __future__ import annotations

import pytest

from adapters.web.guard import _FORWARDED, is_browser_id, is_direct, is_local, is_same_origin


def test_a_browser_on_this_machine_may() -> None:
    assert is_local("127.0.0.1", "http", {"Host": "127.0.0.1:8080", "Origin": "http://127.0.0.1:8080"})


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_every_loopback_address_is_this_machine(peer: str) -> None:
    assert is_local(peer, "http", {"Host": "localhost:8080"})


@pytest.mark.parametrize(
    "peer", ["10.0.0.7", "192.168.1.4", "203.0.113.9", "::ffff:10.0.0.7", "fe80::1%eth0", "", None]
)
def test_other_machines_may_not(peer: str | None) -> None:
    assert not is_local(peer, "http", {"Host": "127.0.0.1:8080"})


@pytest.mark.parametrize("host", ["localhost", "localhost:8080", "127.0.0.1", "127.0.0.1:1", "[::1]:8080", "[::1]"])
def test_names_of_this_machine(host: str) -> None:
    assert is_local("127.0.0.1", "http", {"Host": host})


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "evil.example@127.0.0.1",
        "0.0.0.0:8080",
        "10.0.0.7:8080",
        "[::1",
        "",
    ],
)
def test_a_name_that_was_bound_to_loopback_may_not(host: str) -> None:
    assert not is_local("127.0.0.1", "http", {"Host": host})


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://127.0.0.1:9999",
        "http://localhost:8080",
        "https://127.0.0.1:8080",
        "null",
        "",
    ],
)
def test_another_origin_may_not(origin: str) -> None:
    assert not is_local("127.0.0.1", "http", {"Host": "127.0.0.1:8080", "Origin": origin})


@pytest.mark.parametrize("header", _FORWARDED)
def test_what_a_proxy_forwards_may_come_from_anywhere(header: str) -> None:
    assert not is_local("127.0.0.1", "http", {"Host": "127.0.0.1:8080", header: "127.0.0.1"})


def test_a_proxy_that_leaves_no_mark_is_known_by_its_age() -> None:
    """nginx forwards by HTTP/1.0 to what it calls 127.0.0.1, unless it is told otherwise."""
    assert not is_direct((1, 0))
    assert is_direct((1, 1))


@pytest.mark.parametrize(
    ("site", "may"), [("same-origin", True), ("none", True), ("same-site", False), ("cross-site", False)]
)
def test_the_browser_tells_which_page_asks(site: str, may: bool) -> None:
    assert is_same_origin({"Sec-Fetch-Site": site}) is may
    assert is_same_origin({})


@pytest.mark.parametrize("value", ["", "local", "A" * 32, "g" * 32, "a" * 31, "a" * 33, "a" * 32 + "\n", "٣" * 32])
def test_only_what_we_gave_out_is_a_browser(value: str) -> None:
    assert not is_browser_id(value)
    assert is_browser_id("0123456789abcdef" * 2)
