"""Beam's worker pool in a process of its own, which `--environment_type=EXTERNAL` asks for workers."""

from __future__ import annotations

import os
import sys
import venv
from pathlib import Path
from types import TracebackType
from typing import Final

from typing_extensions import Self

from runners.child import HOST, Child, free_port

#: The start program of Beam's Python containers: it fetches what a job stages, installs it, and starts the worker.
BOOT: Final = Path(__file__).parents[1] / ".build" / "boot" / "container"


class WorkerPool:
    """A pool of workers: `with WorkerPool(directory) as pool` serves them at `pool.address`.

    Args:
        directory: where logs and staged files go.
        python: the interpreter of the workers, in an environment of its own.
        boot: the start program, which installs what a job stages (`--setup_file ./setup.py`) into that environment;
            without it the workers have what the environment has.
        path: their PYTHONPATH.
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
            self._pool.stop(patience=10.0)  # boot passes the signal on to the workers, which are in groups of their own

    def _boot_here(self, boot: Path) -> Path:
        """Return a script that runs `boot` with its paths, which are absolute in a container, in our directory."""
        script = self._directory / "boot"
        script.write_text(
            "#!/bin/sh\n"
            "export RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1\n"
            f"exec '{boot}' --semi_persist_dir='{self._directory}' \"$@\"\n"
        )
        script.chmod(0o755)
        return script


def clean_environment(directory: Path) -> Path:
    """Create a virtual environment with all that this one has except our own package, and return its interpreter.

    Python does not read the `.pth` files of a directory that another `.pth` file names. So what is installed here as
    editable is not in the new environment.
    """
    venv.create(directory, symlinks=True)
    packages = next((directory / "lib").glob("python3*")) / "site-packages"
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "others.pth").write_text("\n".join(ours) + "\n")
    return directory / "bin" / "python"


def boot() -> Path | None:
    """Return the start program that `make boot` built, or None."""
    return BOOT if BOOT.exists() else None
