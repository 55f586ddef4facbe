"""A virtual environment with the original HpBandSter, and calls into it.

HpBandSter is unmaintained since 2018. With NumPy 2 its transport hangs, and ConfigSpace 1 draws and
rounds differently. The reference of a comparison must not be adapted, so it runs on old versions.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

VERSION = (3, 11)  # the newest Python that NumPy 1.26 and ConfigSpace 0.6 have wheels for

# The necessary packages only. HpBandSter also depends on netifaces, which has no wheels and is
# used only to look up network cards by name.
REQUIREMENTS = """\
ConfigSpace==0.6.1
hpbandster==0.7.4
more-itertools==10.5.0
numpy==1.26.4
packaging==24.2
pandas==2.2.3
patsy==1.0.1
pyparsing==3.2.0
Pyro4==4.82
python-dateutil==2.9.0.post0
pytz==2024.2
scipy==1.14.1
serpent==1.41
six==1.17.0
statsmodels==0.14.4
typing_extensions==4.12.2
tzdata==2024.2
"""
_STOCK = Path(__file__).with_name("stock.py")


class StockError(Exception):
    """The reference could not be built, or did not answer."""


class Reference:
    """The original HpBandSter in its own environment."""

    def __init__(self, directory: Path) -> None:
        self._python = _python_of(directory)

    def call(self, command: str, request: Any, timeout: float) -> Any:
        """Run a command of `stock` and give its answer.

        Raises:
            StockError: The command failed, or took longer than `timeout` seconds.
        """
        process = subprocess.Popen(
            [self._python, "-I", _STOCK, command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            answer, _ = process.communicate(json.dumps(request), timeout)
        except subprocess.TimeoutExpired:
            raise StockError(f"stock {command}: no answer after {timeout:.0f} s") from None
        finally:
            _end(process)
        if process.returncode:
            raise StockError(f"stock {command}: exit status {process.returncode}")
        return json.loads(answer)


def build(directory: Path) -> None:
    """Make the environment, unless it exists.

    The folder gets its name when the environment is complete.

    Raises:
        StockError: There is no Python of the right version, the folder contains something else,
            or an installation failed.
    """
    stamp = directory / "requirements.txt"
    if stamp.exists() and stamp.read_text() == REQUIREMENTS:
        return
    if directory.exists():
        raise StockError(f"{directory} is not, or no longer, this environment: remove it")
    made = directory.with_name(f"{directory.name}.{os.getpid()}")
    try:
        _install(made)
        made.rename(directory)
    except subprocess.CalledProcessError as error:
        raise StockError(f"failed: {' '.join(map(str, error.cmd))}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _install(directory: Path) -> None:
    _run(_base_python(), "-m", "venv", directory)
    requirements = directory / "requirements.txt"
    requirements.write_text(REQUIREMENTS)
    pip = (_python_of(directory), "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    wheels_but_one = ("--only-binary", ":all:", "--no-binary", "hpbandster")
    _run(*pip, "--no-deps", *wheels_but_one, "--requirement", requirements)


def _base_python() -> str:
    if sys.version_info[:2] == VERSION:
        return sys.executable
    name = "python{}.{}".format(*VERSION)
    found = shutil.which(name)
    if found is None:
        raise StockError(
            f"HpBandSter's old dependencies need Python {VERSION[0]}.{VERSION[1]}: this is "
            f"{sys.version_info[0]}.{sys.version_info[1]}, and there is no {name} on the path"
        )
    return found


def _python_of(directory: Path) -> Path:
    return directory.absolute() / "bin" / "python"


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=sys.stderr)


def _end(process: subprocess.Popen[str]) -> None:
    """End a process and its children; HpBandSter's workers may outlive it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
