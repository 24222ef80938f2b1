"""The laws of trusted time, for every course that two clocks and a second source can take."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.trustedtime import TOLERANCE_MS, Reading, TrustedTime, begin, confirm, look

DAY_MS = 86_400_000
NOW_MS = 1_790_000_000_000
START = Reading(NOW_MS, 5_000)

steps = st.integers(0, TOLERANCE_MS)
jumps = st.integers(-9_000 * DAY_MS, 9_000 * DAY_MS)
far = jumps.filter(lambda ms: abs(ms) > TOLERANCE_MS)
near = st.integers(-TOLERANCE_MS, TOLERANCE_MS)


def after(state: TrustedTime, step: int, set_by: int = 0) -> TrustedTime:
    """Let time pass, and somebody set the wall clock by so much."""
    return look(state, Reading(state.read.wall_ms + step + set_by, state.read.elapsed_ms + step))


@given(st.lists(steps))
def test_a_clock_that_goes_right_is_believed(course: list[int]) -> None:
    """Law 1: watched in small steps, it is sure for as long as it runs."""
    state = begin(START, None)
    for step in course:
        state = after(state, step)
        assert (state.now_ms, state.doubt) == (state.read.wall_ms, None)


@given(st.lists(st.tuples(steps, near), max_size=30))
def test_small_steps_do_not_add_up(course: list[tuple[int, int]]) -> None:
    """Law 1: whoever sets the clock by 119 s again and again is seen once the sum is over the tolerance."""
    state, total = begin(START, None), 0
    for step, moved in course:
        state, total = after(state, step, moved), total + moved
        assert state.doubt == (None if abs(total) <= TOLERANCE_MS else "jump")
        passed = state.read.elapsed_ms - START.elapsed_ms
        assert abs(state.now_ms - NOW_MS - passed) <= TOLERANCE_MS


@given(steps, far, st.lists(steps, max_size=5), steps)
def test_time_goes_on_through_a_jump_and_back(before: int, jump: int, during: list[int], back: int) -> None:
    """Law 2: it neither leaps nor stands still, and the doubt is over when the clock is right again."""
    state = after(after(begin(START, None), before), 0, jump)
    for step in during:
        assert state.doubt == "jump"
        state = after(state, step)
    assert state.now_ms == NOW_MS + before + sum(during)
    state = after(state, back, -jump)
    assert (state.doubt, state.now_ms) == (None, state.read.wall_ms)


@given(st.integers(TOLERANCE_MS + 1, 9_000 * DAY_MS), st.lists(steps, max_size=5))
def test_time_that_nobody_watched_is_a_doubt_until_it_is_confirmed(gap: int, later: list[int]) -> None:
    """Law 3: both clocks moved together are no proof that the time passed."""
    state = after(begin(START, None), gap)
    for step in later:
        assert (state.doubt, state.now_ms) == ("gap", state.read.wall_ms)
        state = after(state, step)
    assert confirm(state, state.now_ms).doubt is None


@given(jumps, st.lists(steps, max_size=5))
def test_a_start_is_sure_only_where_the_last_process_stopped(gap: int, later: list[int]) -> None:
    """Law 4: the wall clock is read all the same, since nothing else says what the time is."""
    state = begin(START, NOW_MS - gap)
    for step in later:
        state = after(state, step)
    assert state.doubt == (None if abs(gap) <= TOLERANCE_MS else "start")
    assert state.now_ms == state.read.wall_ms


@given(far, steps)
def test_a_clock_that_is_set_right_after_the_start_is_believed(wrong: int, soon: int) -> None:
    """Law 4: a machine that boots with a wrong clock has it set by its time service."""
    state = begin(Reading(NOW_MS + wrong, 5_000), NOW_MS)
    assert after(state, soon, -wrong).doubt is None


states = st.builds(
    TrustedTime,
    offset_ms=st.integers(NOW_MS - 2 * TOLERANCE_MS, NOW_MS + 2 * TOLERANCE_MS),
    held=st.booleans(),
    read=st.builds(
        Reading,
        wall_ms=st.integers(NOW_MS, NOW_MS + TOLERANCE_MS),
        elapsed_ms=st.integers(-TOLERANCE_MS, TOLERANCE_MS),
    ),
    unwatched_ms=st.sampled_from([0, DAY_MS]),
)


@given(states, st.integers(NOW_MS - 5 * TOLERANCE_MS, NOW_MS + 5 * TOLERANCE_MS))
def test_no_second_source_sets_our_time(state: TrustedTime, other: int) -> None:
    """Law 5: it chooses between what our two clocks say, and changes nothing where it agrees with neither."""
    line = state.read.elapsed_ms + state.offset_ms
    found = confirm(state, other)
    assert found.now_ms in {state.read.wall_ms, line}
    if abs(other - state.read.wall_ms) <= TOLERANCE_MS:
        assert (found.now_ms, found.doubt) == (state.read.wall_ms, None)
    elif not state.held or abs(other - line) > TOLERANCE_MS:
        assert found == state
    else:
        assert found == replace(state, unwatched_ms=0)


@given(states, st.lists(st.tuples(jumps, st.integers(-DAY_MS, 9_000 * DAY_MS)), max_size=6))
def test_no_course_of_the_clocks_alone_takes_a_gap_away(state: TrustedTime, course: list[tuple[int, int]]) -> None:
    """Law 6: what nobody watched waits for a second source, whatever the clocks do meanwhile."""
    gap = replace(state, unwatched_ms=DAY_MS)
    for moved, step in course:
        gap = after(gap, step, moved)
        assert gap.doubt is not None
