"""Sizes an engine takes: what may be asked for, and what is chosen where nothing is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsr_runtime.errors import UsageError
from smsr_runtime.sizes import Profile, Wanted
from smsr_runtime.tensorrt.profiles import profiles

SIZE = st.none() | st.tuples(st.integers(1, 5000), st.integers(1, 5000))


@pytest.mark.parametrize("value", ["", "9", "9x", "x9", "9x9x9", "-1x9", "0x9", "9x0", "9.5x9", "a x b", "99999x9"])
def test_a_malformed_size_is_wrong_usage(value: str) -> None:
    with pytest.raises(UsageError, match=r"--max-shape: expected HEIGHTxWIDTH"):
        Wanted.parse(None, None, value)


def test_sizes_are_height_first() -> None:
    assert Wanted.parse("16x32", None, "720X1280") == Wanted((16, 32), None, (720, 1280))


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (("9x9", None, "8x9"), "--min-shape: expected at most --max-shape 8x9, got 9x9"),
        (("9x9", "20x8", None), "--min-shape: expected at most --opt-shape 20x8, got 9x9"),
        ((None, "9x9", "9x8"), "--opt-shape: expected at most --max-shape 9x8, got 9x9"),
        (("9x9", "9x9", "8x99"), "--opt-shape: expected at most --max-shape 8x99, got 9x9"),
    ],
)
def test_sizes_that_contradict_each_other_are_wrong_usage(named: tuple[str | None, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Wanted.parse(*named)


@given(smallest=SIZE, usual=SIZE, largest=SIZE, free=st.integers(0, 1 << 40))
def test_every_profile_is_in_order_and_keeps_what_was_named(
    smallest: tuple[int, int] | None, usual: tuple[int, int] | None, largest: tuple[int, int] | None, free: int
) -> None:
    def texts() -> list[str | None]:
        return [None if size is None else f"{size[0]}x{size[1]}" for size in (smallest, usual, largest)]

    try:
        wanted = Wanted.parse(*texts())
    except UsageError:
        return
    found = profiles(wanted, free, 2400)
    assert found
    for profile in found:
        assert profile.holds(profile.opt) and all(low <= high for low, high in zip(profile.min, profile.max))
        for name in ("min", "opt", "max"):
            assert getattr(wanted, name) in (None, getattr(profile, name))
    areas = [profile.max[0] * profile.max[1] for profile in found]
    assert areas == sorted(areas, reverse=True)
    assert largest is None or len(found) == 1


@pytest.mark.parametrize(
    ("free", "largest"), [(140 << 30, (1920, 1920)), (20 << 30, (1920, 1920)), (6 << 30, (960, 960)), (0, (192, 192))]
)
def test_the_largest_size_follows_the_free_memory(free: int, largest: tuple[int, int]) -> None:
    assert profiles(Wanted(), free, 2400)[0].max == largest


def test_a_profile_holds_what_lies_between_its_sides() -> None:
    profile = Profile((4, 6), (10, 10), (20, 30))
    assert profile.holds((4, 6)) and profile.holds((20, 30))
    assert not any(profile.holds(size) for size in ((3, 6), (4, 5), (21, 30), (20, 31)))


def test_sizes_come_back_from_the_manifest() -> None:
    wanted = Wanted((1, 2), None, (3, 4))
    assert wanted.as_json() == {"min": [1, 2], "max": [3, 4]} and Wanted.from_json(wanted.as_json()) == wanted
    assert Wanted().as_json() is None
    for record in (None, 3, {"min": "9x9"}, {"max": [0, 3]}, {"max": [1, 2, 3]}):
        assert Wanted.from_json(record) == Wanted()
