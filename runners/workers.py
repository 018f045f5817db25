"""Beam's worker pool in a process of its own: what ``--environment_type=EXTERNAL`` asks for workers."""

from __future__ import annotations

import os
import sys
import venv
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from runners.child import HOST, Child, free_port

#: The executable of Beam's Python containers: fetches what a job stages, installs it, and starts the worker.
BOOT: Final = Path(__file__).parents[1] / ".build" / "boot" / "container"


class WorkerPool:
    """``with WorkerPool(directory) as pool``: workers at ``pool.address``, in an environment of ``python``.

    With ``boot`` they install what a job brings along (``--setup_file ./setup.py``) into that environment; without it
    they have what it has. Logs and staged files lie in ``directory``.
    """

    def __init__(
        self, directory: Path, *, python: Path = Path(sys.executable), boot: Path | None = None, path: str = ""
    ) -> None:
        self._directory, self._python, self._boot, self._path = directory, python, boot, path
        self._pool: Child | None = None
        self.address = ""

    def __enter__(self) -> Self:
        port = free_port()
        command = [str(self._python), "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
        if self._boot is not None:
            command.append(f"--container_executable={self._boot_here(self._boot)}")
        # The pool starts its workers as `python`, whatever it runs on itself.
        path = f"{self._python.parent}{os.pathsep}{os.environ['PATH']}"
        self._pool = Child(
            command,
            self._directory / "workers.log",
            environment={"PATH": path, "PYTHONPATH": self._path},
            directory=self._directory,
        )
        try:
            self._pool.wait_for(r"(Started worker pool servicer)")
        except BaseException:
            self._pool.stop()
            raise
        self.address = f"{HOST}:{port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.stop(patience=10.0)  # boot passes the signal on to workers, which it put in groups of their own

    def _boot_here(self, boot: Path) -> Path:
        """Beam's container is one machine for one job; here its places are in our directory."""
        script = self._directory / "boot"
        script.write_text(
            "#!/bin/sh\n"
            "export RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1\n"
            f"exec '{boot}' --semi_persist_dir='{self._directory}' \"$@\"\n"
        )
        script.chmod(0o755)
        return script


def clean_environment(directory: Path) -> Path:
    """A new virtual environment with all that this one has but for our own package; gives its python.

    Python reads no ``.pth`` file of a directory that another one names, so what is installed here as editable is not
    there.
    """
    venv.create(directory, symlinks=True)
    packages = next((directory / "lib").glob("python3*")) / "site-packages"
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "others.pth").write_text("\n".join(ours) + "\n")
    return directory / "bin" / "python"


def boot() -> Path | None:
    """What `make boot` built; None without."""
    return BOOT if BOOT.exists() else None
