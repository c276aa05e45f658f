"""
Executing a notebook against a ledger, with the interpreter that runs this program, in a folder that nobody else can look into.

Which kernels a machine has registered, and what a user has told Jupyter and IPython, plays no part: the same ledger gives the same page everywhere.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

from orchestrator.cli.errors import UsageRefusedError
from orchestrator.runtime.signals import ENDING, caught_by, ending_by

Watch = Callable[[int, int], None]

_SOCKET_PATH_MAX = 90
_STARTED_WITHIN_SECONDS = 300


def executed(source: Path, parameters: Mapping[str, object], watch: Watch) -> Any:  # noqa: ANN401 - nbformat has no types
    """
    Execute the notebook *source* with *parameters* and return it with its outputs.

    Args:
        watch: Told how many of the cells are done, and how many there are.

    Raises:
        UsageRefusedError: A cell has failed; the message says which and how.
        SystemExit: This program was told to end; kernel and folder are gone.
    """
    ending = _Ending()
    with ending.watched(), _private_folder() as folder, _no_kernel_left() as kernels, warnings.catch_warnings():
        # What the libraries tell each other about their next versions is nobody's business here.
        warnings.simplefilter("ignore")
        from papermill.exceptions import PapermillException
        from papermill.execute import execute_notebook

        count = _cells(source)
        done = iter(range(1, count + 2))
        try:
            notebook = execute_notebook(
                source,
                folder / "executed.ipynb",
                dict(parameters),
                kernel_name="python3",
                language="python",
                progress_bar=False,
                start_timeout=_STARTED_WITHIN_SECONDS,
                cwd=folder,
                kernel_manager_class=_kernel_manager(folder, kernels, ending),
                on_cell_executed=lambda **_: watch(min(next(done, count), count), count),
            )
        except PapermillException as error:
            raise UsageRefusedError("notebook_failed", f"the notebook {source.stem} stopped: {_told(error)}") from None
    # Where it lay while it was executed, and when each cell began, is nothing that a reader needs.
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
        cell.metadata.pop("execution", None)
    return notebook


def _cells(source: Path) -> int:
    import nbformat

    cells = nbformat.read(source, as_version=4).cells
    return len([cell for cell in cells if cell.cell_type == "code"]) + 1


def _told(error: Exception) -> str:
    name, value = getattr(error, "ename", None), getattr(error, "evalue", None)
    told = f"{name}: {value}" if name else str(error)
    return next(iter(told.splitlines()), type(error).__name__)


class _Ending:
    """Let INT, TERM and HUP leave a block, so that nothing is left behind; what is told again meanwhile changes nothing."""

    def __init__(self) -> None:
        self._told: list[int] = []
        self._held = False

    def watched(self) -> AbstractContextManager[None]:
        """Listen while the block lasts."""
        return caught_by(self._leave, ENDING)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Wait with what is told until the block is left: a process that is being started is not known yet."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._told:
            raise ending_by(self._told[0])

    def _leave(self, number: int, _: FrameType | None) -> None:
        self._told.append(number)
        if len(self._told) == 1 and not self._held:
            raise ending_by(number)


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """Give a folder for the time of the execution, and let Jupyter and IPython keep everything in it."""
    with tempfile.TemporaryDirectory(prefix="orchestrate-") as name:
        folder = Path(name)
        for part in ("runtime", "config", "data", "ipython"):
            (folder / part).mkdir(mode=0o700)
        variables = {
            "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
            "JUPYTER_CONFIG_DIR": str(folder / "config"),
            "JUPYTER_DATA_DIR": str(folder / "data"),
            "JUPYTER_NO_CONFIG": "1",
            "JUPYTER_PLATFORM_DIRS": "1",
            "IPYTHONDIR": str(folder / "ipython"),
        }
        before = {variable: os.environ.get(variable) for variable in variables}
        os.environ.update(variables)
        try:
            yield folder
        finally:
            for variable, value in before.items():
                if value is None:
                    os.environ.pop(variable, None)
                else:
                    os.environ[variable] = value


@contextlib.contextmanager
def _no_kernel_left() -> Iterator[list[Any]]:
    """Give a list for what starts kernels: one that still lives after the block, such as one that was about to begin, is killed."""
    kernels: list[Any] = []
    try:
        yield kernels
    finally:
        for kernel in kernels:
            process = getattr(kernel.provisioner, "process", None)
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def _kernel_manager(folder: Path, kernels: list[Any], ending: _Ending) -> type:
    """Return what starts a kernel of this interpreter, reached by sockets in *folder* where their paths are short enough, and is then one of *kernels*."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class OwnKernel(AsyncKernelManager):
        """A kernel of the interpreter that runs this program."""

        def __init__(self, **options: Any) -> None:  # noqa: ANN401 - whatever nbclient hands over
            super().__init__(**options)
            kernels.append(self)
            self.connection_file = str(folder / "runtime" / "kernel.json")
            socket = str(folder / "runtime" / "kernel")
            if len(socket) < _SOCKET_PATH_MAX:
                self.transport, self.ip = "ipc", socket

        @property
        def kernel_spec(self) -> KernelSpec:
            """Say how it is started: without the history and the extensions of whoever does."""
            words = [sys.executable, "-Wignore", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
            words += ["--HistoryManager.enabled=False"]
            return KernelSpec(argv=words, display_name="Python 3", language="python")

        async def _async_launch_kernel(self, kernel_cmd: list[str], **options: Any) -> None:  # noqa: ANN401 - as it is there
            with ending.held():
                await super()._async_launch_kernel(kernel_cmd, **options)

    return OwnKernel
