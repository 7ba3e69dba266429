"""The checkers of jepsen/checks.py accept what is right and report each kind of wrong."""

import unittest

import checks
from checks import Read, Write

KEY = b"register/0/0"


def writes(*rows):
    return [Write(KEY, value, start, end, outcome) for value, start, end, outcome in rows]


def reads(*rows):
    return [Read(KEY, value, start, end, node) for value, start, end, node in rows]


class StrongReads(unittest.TestCase):
    HISTORY = writes((1, 0, 1, "ok"), (2, 2, 3, "ok"), (3, 4, 5, "no"), (4, 6, 9, "unknown"))

    def test_accepts_every_value_the_order_allows(self):
        good = reads((0, 0.5, 0.6, 1), (1, 0.7, 0.8, 2), (1, 1.5, 1.6, 3), (2, 2.5, 2.6, 1), (2, 3.5, 8, 2), (4, 7, 8, 3),
                     (4, 10, 11, 1))
        self.assertEqual(checks.strong_reads(self.HISTORY, good), [])

    def test_reports_a_read_older_than_an_acknowledged_write(self):
        self.assertIn("gave 1, not 2..2", checks.strong_reads(self.HISTORY, reads((1, 3.5, 3.6, 2)))[0])

    def test_reports_an_absent_key(self):
        self.assertEqual(len(checks.strong_reads(self.HISTORY, reads((0, 3.5, 3.6, 2)))), 1)

    def test_reports_a_value_from_the_future(self):
        self.assertEqual(len(checks.strong_reads(self.HISTORY, reads((2, 1.2, 1.9, 1)))), 1)

    def test_reports_a_write_that_was_certainly_not_executed(self):
        # 3 lies below the attempted 4 only once 4 has begun: before that, it can only come from the refused write.
        self.assertEqual(len(checks.strong_reads(self.HISTORY, reads((3, 4.5, 5.5, 1)))), 1)

    def test_reports_going_back_among_overlapping_writes(self):
        history = writes((1, 0, 1, "ok"), (2, 2, 9, "ok"))
        self.assertEqual(checks.strong_reads(history, reads((1, 3, 4, 1), (2, 5, 6, 2))), [])
        self.assertIn("after node 1 had given 2", checks.strong_reads(history, reads((2, 3, 4, 1), (1, 5, 6, 2)))[0])

    def test_reads_of_a_key_never_written_must_find_nothing(self):
        self.assertEqual(checks.strong_reads([], reads((0, 1, 2, 1))), [])
        self.assertEqual(len(checks.strong_reads([], reads((7, 1, 2, 1)))), 1)


class ReadBack(unittest.TestCase):
    def test_reports_lost_and_changed_writes_only(self):
        acknowledged = {b"a": b"1", b"b": b"2", b"c": b"3"}
        self.assertEqual(checks.read_back(acknowledged, {**acknowledged, b"other": b"x"}, 1), [])
        self.assertEqual(len(checks.read_back(acknowledged, {b"a": b"1", b"b": None, b"c": b"4"}, 1)), 2)


class Failovers(unittest.TestCase):
    def test_reports_those_over_the_limit(self):
        self.assertEqual(len(checks.failovers([0.4, 1.9, 2.1], 2.0)), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
