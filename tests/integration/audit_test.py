"""The audit of jepsen/freshness.py accepts what is true and reports each kind of lie."""

import copy
import random
import unittest

import freshness
from freshness import Read, Write
from wire import EVENTUAL, STRONG, Certificate, Code, Freshness, Reply, Token, bounded

KEY = b"k"


def writes(*rows):
    """(index, start, end): each writes its own index as the value."""
    return [Write(KEY, b"%d" % index, start, end, index) for index, start, end in rows]


def read(level, start, index, age=None, basis="anchor", node=1, mod_index=0, **certificate):
    seen = Certificate(node=node, applied_index=index, age_us=None if age is None else round(age * 1e6),
                       basis=basis if age is not None else "none", **certificate)
    return Read(KEY, node, start, start + 0.001, level,
                Reply(found=bool(mod_index), mod_index=mod_index, value=b"%d" % mod_index if mod_index else b"", certificate=seen))


def refused(level, start, code, **numbers):
    return Read(KEY, 1, start, start + 0.001, level, Reply(code=code, **numbers))


HISTORY = writes((10, 0.0, 0.1), (11, 1.0, 1.1), (12, 2.0, 2.1))


class Claims(unittest.TestCase):
    def test_accepts_what_is_true(self):
        good = [read(STRONG, 1.5, 11, 0, "read_index"), read(bounded(0.5), 1.2, 10, 0.2), read(bounded(1), 2.2, 11, 0.5),
                read(EVENTUAL, 2.2, 3), read(EVENTUAL, 3.0, 11, 0.95), read(bounded(1, 2), 3.0, 10, 0.5, lag=2)]
        self.assertEqual(freshness.claims(HISTORY, good), [])

    def test_reports_an_age_that_is_too_small(self):
        lie = read(bounded(1), 3.0, 11, 0.85)
        self.assertRegex(freshness.claims(HISTORY, [lie])[0], r"at most 0.850 s old at index 11 \(anchor\), and missed index 12, "
                         "acknowledged 0.900 s before")

    def test_reports_a_strong_read_that_missed_a_write(self):
        self.assertEqual(len(freshness.claims(HISTORY, [read(STRONG, 2.2, 11, 0, "read_index")])), 1)

    def test_a_lag_covers_as_many_entries_and_no_more(self):
        self.assertEqual(freshness.claims(HISTORY, [read(bounded(1, 1), 3.0, 11, 0.1, lag=1)]), [])
        self.assertEqual(len(freshness.claims(HISTORY, [read(bounded(1, 1), 3.0, 10, 0.1, lag=1)])), 1)

    def test_a_write_that_is_acknowledged_while_the_read_is_under_way_may_be_missing(self):
        self.assertEqual(freshness.claims(HISTORY, [read(STRONG, 2.05, 11, 0, "read_index")]), [])


class Promises(unittest.TestCase):
    def test_accepts_what_was_asked_for(self):
        token = Token(index=11)
        good = [read(STRONG, 3, 12, 0, "read_index"), read(bounded(0.2, 5), 3, 12, 0.2, lag=5), read(EVENTUAL, 3, 1),
                read(Freshness(token=token), 3, 11), read(bounded(0.2, on_unmet="serve"), 3, 12, 9)]
        self.assertEqual(freshness.promises(good), [])

    def test_reports_each_kind_of_less(self):
        for bad in (read(STRONG, 3, 12, 0.01, "read_index"), read(STRONG, 3, 12, 0, "anchor"), read(bounded(0.2), 3, 12, 0.201),
                    read(bounded(0.2), 3, 12), read(bounded(0.2, 5), 3, 12, 0.1, lag=6),
                    read(Freshness(token=Token(index=11)), 3, 10)):
            self.assertGreaterEqual(len(freshness.promises([bad])), 1, str(bad))


class Values(unittest.TestCase):
    def test_accepts_the_state_at_the_index(self):
        good = [read(EVENTUAL, 3, 9), read(EVENTUAL, 3, 10, mod_index=10), read(EVENTUAL, 3, 12, mod_index=12),
                read(EVENTUAL, 3, 15, mod_index=14)]  # 14: a write of unknown outcome
        self.assertEqual(freshness.values(HISTORY, good), [])

    def test_reports_older_newer_and_other_values(self):
        other = read(EVENTUAL, 3, 12, mod_index=12)
        other.reply.value = b"other"
        for bad in (read(EVENTUAL, 3, 12, mod_index=11), read(EVENTUAL, 3, 11), read(EVENTUAL, 3, 11, mod_index=12), other):
            self.assertEqual(len(freshness.values(HISTORY, [bad])), 1)


class NeverBack(unittest.TestCase):
    def test_a_node_goes_forward(self):
        good = [read(EVENTUAL, 1, 10), read(EVENTUAL, 2, 10), read(EVENTUAL, 3, 9, node=2), read(EVENTUAL, 4, 11)]
        self.assertEqual(freshness.never_back(good), [])
        anyway = read(Freshness(on_unmet="serve"), 5, 3)
        self.assertEqual(freshness.never_back([*good, anyway]), [], "served anyway, nothing known: that may go back")

    def test_reports_one_that_goes_back(self):
        self.assertIn("node 1 had given 10", freshness.never_back([read(EVENTUAL, 1, 10), read(EVENTUAL, 2, 9)])[0])

    def test_reads_that_overlap_may_come_in_any_order(self):
        first, second = read(EVENTUAL, 1, 10), read(EVENTUAL, 1.0005, 9)
        self.assertEqual(freshness.never_back([first, second]), [])


class LogOrder(unittest.TestCase):
    def test_reports_indexes_that_contradict_time(self):
        self.assertEqual(freshness.log_order(HISTORY), [])
        self.assertEqual(freshness.log_order(writes((10, 0, 2), (9, 1, 3))), [], "these overlap")
        self.assertEqual(len(freshness.log_order(writes((10, 0, 1), (9, 2, 3)))), 1)
        self.assertEqual(len(freshness.log_order(writes((10, 0, 1), (10, 2, 3)))), 1)


class Refusals(unittest.TestCase):
    def test_accepts_those_whose_numbers_say_why(self):
        good = [refused(bounded(0.1), 3, Code.STALE, age_us=100_001, have=12, want=12), refused(bounded(0.1), 3, Code.STALE),
                refused(bounded(0.1), 3, Code.STALE, age_us=50_000, have=11, want=12),
                refused(EVENTUAL, 3, Code.NOT_CAUGHT_UP, have=5, want=12), refused(STRONG, 3, Code.NO_QUORUM),
                refused(Freshness(token=Token(index=99)), 3, Code.FUTURE_TOKEN, have=12, want=99)]
        self.assertEqual(freshness.refusals(HISTORY, good), [])

    def test_reports_those_whose_numbers_do_not(self):
        for bad in (refused(bounded(0.1), 3, Code.STALE, age_us=50_000, have=12, want=12),
                    refused(bounded(0.1, 1), 3, Code.STALE, age_us=50_000, have=11, want=12),
                    refused(EVENTUAL, 3, Code.NOT_CAUGHT_UP, have=12, want=12),
                    refused(Freshness(token=Token(index=12)), 3, Code.FUTURE_TOKEN, have=11, want=12)):
            self.assertEqual(len(freshness.refusals(HISTORY, [bad])), 1, str(bad))


class Mutations(unittest.TestCase):
    """A long history of a model that tells the truth; any one lie in it is found."""

    def setUp(self):
        self.random = random.Random(4)
        instant, self.writes, self.reads = 0.0, [], []
        for index in range(1, 400):
            instant += self.random.uniform(0.001, 0.02)
            self.writes.append(Write(KEY, b"%d" % index, instant, instant + 0.0005, index))
            for node in (1, 2):
                age = self.random.uniform(0.001, 0.05) * node
                start = instant + 0.0006 + 0.0001 * node
                fresh = sum(write.end < start - age for write in self.writes)
                self.reads.append(read(bounded(0.2), start, fresh, age, node=node, mod_index=fresh))
        # The model's nodes go back; that is another check's matter.
        self.audit = lambda reads: freshness.claims(self.writes, reads) + freshness.values(self.writes, reads)

    def test_truth_and_lies(self):
        self.assertEqual(self.audit(self.reads), [])
        for _ in range(300):
            reads = list(self.reads)
            at = self.random.randrange(200, len(reads))
            lie = copy.deepcopy(reads[at])
            seen = lie.reply.certificate
            if self.random.random() < 0.5:  # a smaller age, by enough to pass the next acknowledgement
                missed = self.writes[seen.applied_index]
                seen.age_us = round((lie.start - missed.end) * 1e6) - 1
            else:
                seen.applied_index -= 1
            reads[at] = lie
            self.assertEqual(len({text.split(" claimed")[0].split(" gave")[0] for text in self.audit(reads)}), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
