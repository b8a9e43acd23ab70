"""The ledger of the load tests must find each kind of irregularity, or a run with zero of them says nothing."""

from loadtests.ledger import Irregularities, Ledger


def closed(numbers: list[int], head: int, covered: int = 0) -> Irregularities:
    ledger = Ledger()
    ledger.cover(covered)
    for number in numbers:
        ledger.take(number)
    return ledger.close(range(1, head + 1))


def test_every_number_once_and_in_order_is_regular() -> None:
    assert not closed([1, 2, 3, 4], head=4)


def test_a_missing_number_is_lost_in_the_middle_and_at_the_end() -> None:
    assert closed([1, 3], head=4) == Irregularities(lost=2)


def test_a_number_that_comes_again_is_doubled() -> None:
    assert closed([1, 2, 2, 3], head=3) == Irregularities(doubled=1)


def test_a_number_that_comes_after_a_later_one_is_reordered_and_not_lost() -> None:
    assert closed([1, 3, 2], head=3) == Irregularities(reordered=1)


def test_a_number_that_the_log_does_not_have_is_foreign() -> None:
    assert closed([1, 2, 3], head=2) == Irregularities(foreign=1)


def test_a_snapshot_stands_for_what_came_before_it() -> None:
    assert not closed([4, 5], head=5, covered=3)


def test_an_event_that_a_snapshot_covered_already_is_an_irregularity() -> None:
    assert closed([3, 4], head=4, covered=3) == Irregularities(reordered=1, foreign=1)


def test_the_same_result_under_two_numbers_is_doubled() -> None:
    ledger = Ledger()
    ledger.take(1, ("dish", "price", 1))
    ledger.take(2, ("dish", "price", 1))
    assert ledger.close([1, 2]) == Irregularities(doubled=1)
    assert ledger.results == 1


def test_the_same_dish_in_another_stage_or_attempt_is_another_result() -> None:
    ledger = Ledger()
    for seq, key in enumerate([("dish", "price", 1), ("dish", "image", 1), ("dish", "price", 2)], 1):
        ledger.take(seq, key)
    assert not ledger.close([1, 2, 3])
    assert ledger.results == 3
