"""Runs that die between two writes to their storage."""

from hpo_bench.storage.rdb import BulkStorage

WRITES = (
    "_create_new_trial",
    "_set_trial_param",
    "set_trial_intermediate_value",
    "set_trial_state_values",
    "set_trial_system_attr",
    "set_trial_user_attr",
    "create_new_study",
    "set_study_system_attr",
    "set_study_user_attr",
)


class Killed(BaseException):
    """Stands in for kill -9: nothing in the harness may handle it."""


class Writes:
    """Counts the writes to all storages, and dies at the one after those that are allowed."""

    def __init__(self, monkeypatch):
        self.count = 0
        self._allowed = None
        for name in WRITES:
            monkeypatch.setattr(BulkStorage, name, self._mortal(getattr(BulkStorage, name)))

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
