from __future__ import annotations

from core.errors import ConsortiumError, RateLimited, user_text


def test_errors_of_ours_speak_for_themselves_and_others_say_nothing_of_their_insides() -> None:
    assert user_text(RateLimited("You", 0.2)) == "You asked too often just now. Try again in 1 s."
    try:
        raise KeyError("secret") from ValueError("/srv/app.py")
    except KeyError as error:
        text = user_text(error, "r1")
    assert not any(word in text for word in ("secret", "KeyError", "Traceback", ".py"))
    assert "`r1`" in text
    assert "`" not in user_text(KeyError("x"))


def test_every_error_is_one_of_ours() -> None:
    import core.errors

    kinds = [kind for kind in vars(core.errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 8
    assert all(issubclass(kind, ConsortiumError) for kind in kinds)
