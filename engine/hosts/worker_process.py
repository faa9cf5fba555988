# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker process seen by its parent: start, call, end; and the Python it runs on."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import shutil
import subprocess  # noqa: S404  # nosec B404
import sys
import threading
import time
from collections import deque
from typing import IO, TYPE_CHECKING, Any, Optional, cast

from ..errors import CancelledError, ChangeScribeError, DependencyError
from ..paths import PACKAGE
from ..weights import store as weights
from .texts import HostsTexts
from .worker_link import error_from_message

if TYPE_CHECKING:
    from ..request import CancelledCallback

#: Names the worker's Python if the settings do not.
PYTHON_VARIABLE = "CHANGESCRIBE_WORKER_PYTHON"

#: Imports the package from its folder, whatever its name, but nothing from beside that folder,
#: where other plugins are, or from the parent's current folder.
_START = """
import importlib.util, os, sys
root = sys.argv[1]
sys.path[:] = [path for path in sys.path if path]
spec = importlib.util.spec_from_file_location(
    "changescribe", os.path.join(root, "__init__.py"), submodule_search_locations=[root])
package = importlib.util.module_from_spec(spec)
sys.modules["changescribe"] = package
spec.loader.exec_module(package)
from changescribe.engine.hosts.worker import main
main()
"""
#: Would make another Python use the library and the packages of this one.
_UNSET = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__")
_POLL_S = 0.1
#: A killed process exits at once, unless it waits for a dead disk.
_KILL_S = 2.0
#: Printed lines that are kept for the details of an error.
_KEPT_LINES = 200


class WorkerEnded(Exception):  # noqa: N818 - an event that the host deals with
    """The process ended by itself, or no longer answered and was ended.

    ``how`` is for the user, such as "signal 9"; ``log`` is the last lines that it printed.
    """

    def __init__(self, how: str, log: str) -> None:
        super().__init__(how)
        self.how = how
        self.log = log


def find_python(setting: str = "", installed: str = "", *, torch: bool = True) -> str:
    """Return the Python program for the worker.

    It is the first of: the setting, the variable CHANGESCRIBE_WORKER_PYTHON, the environment that
    the plugin installed, and the Python that runs this, if it has PyTorch or ``torch`` is False.

    Raises:
        DependencyError: the setting or the variable names no program, or there is no Python.
    """
    for named in (setting, os.environ.get(PYTHON_VARIABLE, "")):
        if named:
            found = shutil.which(named)
            if found is None:
                raise DependencyError(
                    HostsTexts.python_not_found(program=named, variable=PYTHON_VARIABLE)
                )
            return found
    if installed and shutil.which(installed):
        return installed
    # Inside QGIS on Windows and macOS, sys.executable is QGIS itself.
    own = os.path.basename(sys.executable or "").lower().startswith("python")
    if own and (not torch or importlib.util.find_spec("torch")):
        return sys.executable
    message = HostsTexts.no_torch if torch else HostsTexts.no_python
    raise DependencyError(message(variable=PYTHON_VARIABLE))


class WorkerProcess:
    """One worker process. One call at a time; :meth:`end` may come from any thread.

    Raises:
        DependencyError: the program does not start.
    """

    def __init__(self, python: str) -> None:
        try:
            # The user chose this Python; no shell is involved.
            self._process = subprocess.Popen(  # noqa: S603  # nosec B603
                [python, "-c", _START, str(PACKAGE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(python),
                # Ctrl+C in a terminal must reach the parent only, which keeps what is finished.
                start_new_session=os.name == "posix",
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise DependencyError(
                HostsTexts.not_started(python=python), details=str(error)
            ) from error
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._ended = False
        self._answers: queue.Queue[Optional[bytes]] = queue.Queue()
        self._log: deque[str] = deque(maxlen=_KEPT_LINES)
        self._readers = [
            _thread(_read_answers, self._process.stdout, self._answers),
            _thread(_read_log, self._process.stderr, self._log),
        ]

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def check(self) -> None:
        """Raise WorkerEnded if the process ended by itself."""
        if not self._ended and not self.alive:
            raise self._gone()

    def call(
        self,
        name: str,
        seconds: float,
        cancelled: Optional[CancelledCallback] = None,
        grace: float = 0.0,
        **arguments: Any,
    ) -> dict[str, Any]:
        """Make a request and wait for its answer.

        Args:
            name: of the call.
            seconds: limit, after which the process is ended.
            cancelled: called while waiting.
            grace: seconds for the current call to finish after it is cancelled.
            arguments: of the call.

        Raises:
            WorkerEnded: the process ended.
            CancelledError: the call did not end in time after it was cancelled.
            ChangeScribeError: the call failed, or took longer than its limit.
        """
        line = json.dumps({"call": name, "arguments": arguments}) + "\n"
        try:
            self._requests.write(line.encode("ascii"))
            self._requests.flush()
        except (OSError, ValueError):  # ValueError: closed by end().
            raise self._gone() from None
        return self.answer(seconds, cancelled, grace)

    def answer(
        self, seconds: float, cancelled: Optional[CancelledCallback] = None, grace: float = 0.0
    ) -> dict[str, Any]:
        """Wait for the next answer; see :meth:`call`."""
        limit = time.monotonic() + seconds
        given_up: Optional[float] = None
        while True:
            with contextlib.suppress(queue.Empty):
                return self._result(self._answers.get(timeout=_POLL_S))
            now = time.monotonic()
            if given_up is None and cancelled is not None and cancelled():
                given_up = now + grace
            if given_up is not None and now >= given_up:
                self.end()
                raise CancelledError
            if now >= limit:
                self.end()
                raise ChangeScribeError(HostsTexts.no_answer(time=_time(seconds)), details=self.log)

    def _result(self, line: Optional[bytes]) -> dict[str, Any]:
        if line is None:
            raise self._gone()
        try:
            answer = json.loads(line)
            if "error" in answer:
                raise error_from_message(answer["error"])
            return answer["result"]
        except (ValueError, KeyError, TypeError) as error:
            self.end()
            raise ChangeScribeError(
                HostsTexts.bad_answer(), details=f"{line!r}\n{error!r}\n{self.log}"
            ) from error

    def _gone(self) -> WorkerEnded:
        self.end(seconds=1.0)
        code = self._process.returncode
        if code is None:
            how = HostsTexts.no_exit()
        else:
            how = HostsTexts.signal(number=-code) if code < 0 else HostsTexts.exit_code(number=code)
        return WorkerEnded(how, self.log)

    @property
    def log(self) -> str:
        """The last lines that the worker printed."""
        return "\n".join(self._log)

    def end(self, seconds: float = 0.0) -> None:
        """Let the process exit by itself for some seconds, then kill it."""
        self._ended = True
        with contextlib.suppress(OSError, ValueError):
            self._requests.close()
        if seconds > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_KILL_S)
        for reader in self._readers:
            # Children of the process may hold the pipes for longer; do not wait for them.
            reader.join(_KILL_S)


def _thread(target: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(
        target=target, args=arguments, name="changescribe-worker", daemon=True
    )
    thread.start()
    return thread


def _read_answers(pipe: IO[bytes], answers: queue.Queue[Optional[bytes]]) -> None:
    with pipe:
        for line in pipe:
            answers.put(line)
    answers.put(None)


def _read_log(pipe: IO[bytes], log: deque[str]) -> None:
    with pipe:
        for line in pipe:
            log.append(line.decode("utf-8", "replace").rstrip())


def _environment(python: str) -> dict[str, str]:
    """Return the worker's environment: this one without what is meant for this Python."""
    variables = dict(os.environ)
    if python != sys.executable:
        for name in _UNSET:
            variables.pop(name, None)
    # Only this process knows the plugin's setting.
    variables[weights.VARIABLE] = str(weights.default_folder())
    # A crash prints its traceback, for the details of the error.
    variables["PYTHONFAULTHANDLER"] = "1"
    return variables


def _time(seconds: float) -> str:
    if seconds >= 120:
        return HostsTexts.minutes(number=seconds / 60)
    return HostsTexts.seconds(number=seconds)
