"""What is promised of a method or an objective, as checks: for its own tests, and for `check`.

A check is a function that takes what is tested and raises `AssertionError` where a promise is
broken. What it returns is a remark: nothing is broken, and a user should know it. In a test, with
`OBJECTIVE_CHECKS` and `ObjectiveType` of an objective:

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
    """Carry out every check there is for a method, or for an objective."""
    is_method = isinstance(tested, Method)
    return examine(THOROUGH_METHOD_CHECKS if is_method else OBJECTIVE_CHECKS, tested)
