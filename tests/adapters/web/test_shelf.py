"""What replies carry lies on a shelf of bounded size, each thing for one browser."""

from __future__ import annotations

from adapters.web.shelf import Item, Shelf


def item(size: int, owner: str = "me") -> Item:
    return Item(owner, "a.png", "image/png", b"x" * size)


def test_a_file_is_for_its_owner_alone() -> None:
    shelf = Shelf()
    key = shelf.put(item(3))
    assert shelf.get(key, "me") == item(3)
    assert shelf.get(key, "you") is None
    assert shelf.get("other", "me") is None


def test_what_is_forgotten_makes_room() -> None:
    shelf = Shelf(most_bytes=10)
    theirs, mine = shelf.put(item(4, "you")), [shelf.put(item(3)) for _ in range(2)]
    shelf.forget("me")
    assert [shelf.get(key, "me") for key in mine] == [None, None]
    shelf.put(item(6))
    assert shelf.get(theirs, "you") == item(4, "you")


def test_what_was_put_there_first_goes_first() -> None:
    shelf = Shelf(most_bytes=10)
    keys = [shelf.put(item(4)) for _ in range(3)]
    assert [shelf.get(key, "me") is None for key in keys] == [True, False, False]
    large = shelf.put(item(50))
    assert shelf.get(large, "me") == item(50), "the latest stays, however large it is"
    assert shelf.get(keys[2], "me") is None
