"""What the integration tests share: a cluster for a test class, and the command line's exit codes."""

import json
import unittest

from cluster import Cluster

OK, OTHER, USAGE, NOT_FOUND, COMPARE_FAILED, REFUSED, CANNOT_CONNECT, DEADLINE, UNKNOWN = range(9)


class ClusterTest(unittest.TestCase):
    """One ready cluster for all tests of the class. A test that breaks it puts it right again."""

    size = 3
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(cls.size, flags=cls.flags)
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.__enter__()
        cls.cluster.wait_ready()

    def quorate(self, *arguments, **options):
        return self.cluster.quorate(*arguments, **options)

    def expect(self, code, *arguments, **options):
        """Runs the command line, checks its exit code, returns its stdout."""
        got, out, err = self.quorate(*arguments, **options)
        self.assertEqual(got, code, f"quorate {' '.join(map(str, arguments))}\n{out[:500]!r}\n{err.decode()}")
        return out

    def error_of(self, code, *arguments, **options):
        """Like expect(), but returns what stderr says, which must be something."""
        got, out, err = self.quorate(*arguments, **options)
        self.assertEqual(got, code, f"quorate {' '.join(map(str, arguments))}\n{out[:500]!r}\n{err.decode()}")
        self.assertTrue(err.strip(), "an error without a message")
        return err.decode()

    def json(self, *arguments, code=OK, **options):
        return json.loads(self.expect(code, "--json", *arguments, **options))
