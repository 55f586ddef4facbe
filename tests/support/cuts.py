"""Runs that die between two writes to their storage."""

from hpo_bench.storage.held import HeldStudy
from hpo_bench.storage.rdb import BulkStorage

WRITES = {
    BulkStorage: (
        "_create_new_trial",
        "create_new_study",
        "set_study_system_attr",
        "set_study_user_attr",
        "set_study_user_attrs",
    ),
    HeldStudy: ("_write",),
}
"""What makes one transaction each, while a run holds its study."""


class Killed(BaseException):
    """Stands in for kill -9: nothing in the harness may handle it."""


class Writes:
    """Counts the writes to all storages, and dies at the one after those that are allowed."""

    def __init__(self, monkeypatch):
        self.count = 0
        self._allowed = None
        for kind, names in WRITES.items():
            for name in names:
                monkeypatch.setattr(kind, name, self._mortal(getattr(kind, name)))

    def allow(self, allowed=None):
        """Count anew; None allows all."""
        self.count, self._allowed = 0, allowed

    def _mortal(self, write):
        def attempt(storage, *args, **kwargs):
            if self._allowed is not None and self.count >= self._allowed:
                raise Killed
            self.count += 1
            return write(storage, *args, **kwargs)

        return attempt
