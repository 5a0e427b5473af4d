"""Values kept for the next time: the newest, within a bound of number and of bytes."""

from __future__ import annotations

from frostline_server.training.recent import Recent


def test_the_values_used_last_stay_and_are_made_once() -> None:
    made: list[str] = []
    recent: Recent[str] = Recent(2)

    def get(key: str) -> str:
        return recent.get(key, lambda: made.append(key) or key.upper())

    assert [get(key) for key in "abacab"] == list("ABACAB")  # b was the oldest when c came, and c when b came back
    assert made == list("abcb")


def test_what_is_falsy_is_a_value_too() -> None:
    recent: Recent[float] = Recent(2)
    assert recent.get("nothing", lambda: 0.0) == recent.get("nothing", lambda: 1.0) == recent.known("nothing", 2.0) == 0
    assert recent.known("unknown", 2.0) == 2.0


def test_the_newest_stays_whatever_its_size_and_sizes_are_those_of_now() -> None:
    recent: Recent[list[int]] = Recent(3, 10, len)
    growing: list[int] = []
    for key, value in (("a", growing), ("b", [1] * 4), ("c", [1] * 4)):
        recent.put(key, value)
    growing += [1] * 4
    recent.put("c", [1] * 4)
    assert [len(recent.known(key, [])) for key in "abc"] == [0, 4, 4]
    recent.put("huge", [1] * 100)
    assert [len(recent.known(key, [])) for key in ("b", "c", "huge")] == [0, 0, 100]


def test_what_is_taken_or_stale_is_gone() -> None:
    recent: Recent[int] = Recent(3)
    for number in range(3):
        recent.put(number, number)
    assert (recent.take(0), recent.take(0)) == (0, None)
    recent.drop(lambda value: value == 1)
    assert [recent.known(number, -1) for number in range(3)] == [-1, -1, 2]
