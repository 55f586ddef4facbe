"""Checks of the promises that a method or an objective makes, for tests and for `hpo-bench check`.

A check is a function that takes a method or an objective. It raises `AssertionError` if a promise
is broken. It may return a remark: a text that the user should know although nothing is broken. Use
the checks of a method in a test as follows; for an objective, use `OBJECTIVE_CHECKS` and
`ObjectiveType`:

```python
@pytest.mark.parametrize("check", METHOD_CHECKS, ids=lambda check: check.__name__)
def test_conformance(check):
    check(Method("my_package:MySampler"))
```
"""

from collections.abc import Iterator

from hpo_bench.conformance.candidates import Candidate, Method, ObjectiveType, candidate
from hpo_bench.conformance.findings import Finding, Verdict, examine
from hpo_bench.conformance.methods import METHOD_CHECKS, THOROUGH_METHOD_CHECKS
from hpo_bench.conformance.objectives import OBJECTIVE_CHECKS

__all__ = [
    "METHOD_CHECKS",
    "OBJECTIVE_CHECKS",
    "Candidate",
    "Finding",
    "Method",
    "ObjectiveType",
    "Verdict",
    "candidate",
    "check",
    "examine",
]


def check(tested: Candidate) -> Iterator[Finding]:
    """Run all checks of a method or of an objective, and yield each finding when it is known."""
    is_method = isinstance(tested, Method)
    return examine(THOROUGH_METHOD_CHECKS if is_method else OBJECTIVE_CHECKS, tested)
