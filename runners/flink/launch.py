"""Start Flink and Beam's job server, wait until they serve, and leave nothing behind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from typing_extensions import Self

from runners.child import HOST, Child, free_port
from runners.flink.configuration import FILE, TASK_MANAGER, configuration, flink_version
from runners.flink.rest import Job, call, jobs

BUILT: Final = Path(__file__).parents[2] / ".build" / "flink"

#: The environment variable that chooses another class path than the default one: the id of a profile of the pom.
CHOICE: Final = "CONNECTOR_FLINK"

_REST: Final = r"Rest endpoint listening at [\w.]+:(\d+)"
_JOBS: Final = r"JobService started on [\w.]+:(\d+)"

#: Flink and Beam's netty use internals of the JDK, which JDK 17 closes.
_OPENED: Final = (
    *("java.lang", "java.lang.reflect", "java.lang.invoke", "java.util", "java.util.concurrent"),
    *("java.util.concurrent.atomic", "java.net", "java.nio", "java.io", "java.text", "java.time", "java.math"),
    "sun.nio.ch",
)


def class_path(chosen: str | None = None) -> str | None:
    """Return the class path that `make flink` or `make flink-others` resolved; None if it, or Java, is missing."""
    chosen = chosen or os.environ.get(CHOICE)
    file = BUILT / (f"classpath-{chosen}.txt" if chosen else "classpath.txt")
    if not file.exists() or shutil.which("java") is None:
        return None
    return file.read_text().strip()


class Flink:
    """A job server with Flink: `with Flink(directory) as flink`. Several may run side by side, on free ports.

    Args:
        directory: where all files go: logs, checkpoints, staged artifacts.
        cluster: whether to start a session cluster (a job manager and task managers), so that a job outlives the job
            server and a savepoint can be restored; without it, Flink is embedded in the job server.
        workers: the number of task managers of the cluster.
        slots: the slots of each task manager.
        restarts: how often Flink restarts a job that failed.
        java: the Java program.
        jars: the class path, see `class_path`. On one without Beam's job server no pipeline runs.
    """

    def __init__(
        self,
        directory: Path,
        *,
        cluster: bool = False,
        workers: int = 1,
        slots: int = 4,
        restarts: int = 10,
        java: str = "java",
        jars: str | None = None,
    ) -> None:
        self._directory, self._cluster, self._workers, self._slots, self._java = (
            directory,
            cluster,
            workers,
            slots,
            java,
        )
        self._restarts = restarts
        self._class_path = jars or class_path()
        self.job_server: Child | None = None
        self.job_manager: Child | None = None
        self.task_managers: list[Child] = []
        self._job_port = self._rest_port = 0

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all processes.

        Raises:
            RuntimeError: a process does not start; with the last lines that it wrote.
        """
        if self._class_path is None:
            raise RuntimeError("no Flink: it needs Java and the jars that `make flink` resolves with Maven")
        for name in ("conf", "tmp", "checkpoints", "savepoints", "staged"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        self._configure()
        if self._cluster:
            self.job_manager = self._run(
                "jobmanager",
                "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
                ["--configDir", str(self._directory / "conf")],
            )
            self._rest_port = int(self.job_manager.wait_for(_REST))
            for _ in range(self._workers):
                self.start_task_manager()
            while call(f"{self.rest_url}/overview")["slots-total"] < self._workers * self._slots:
                self._check()
        if "beam-runners-flink" in self._class_path:
            self.start_job_server()

    def start_task_manager(self) -> Child:
        """Start one more task manager of the cluster."""
        child = self._run(
            f"taskmanager-{len(self.task_managers)}",
            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            ["--configDir", str(self._directory / "conf")],
        )
        child.wait_for(r"(Successful registration at resource manager)")
        self.task_managers.append(child)
        return child

    def start_job_server(self) -> None:
        """Start the job server, the only process that Beam calls. On a cluster, the jobs outlive it."""
        self.job_server = self._run(
            "jobserver",
            "org.apache.beam.runners.flink.FlinkJobServerDriver",
            [
                f"--job-host={HOST}",
                "--job-port=0",
                "--artifact-port=0",
                "--expansion-port=0",
                f"--artifacts-dir={self._directory / 'staged'}",
                f"--flink-master={f'{HOST}:{self._rest_port}' if self._cluster else '[local]'}",
                f"--flink-conf-dir={self._directory / 'conf'}",
            ],
        )
        self._job_port = int(self.job_server.wait_for(_JOBS))

    def stop(self) -> None:
        for child in [self.job_server, *self.task_managers, self.job_manager]:
            if child is not None:
                child.stop()
        for name in ("tmp", "staged"):  # they hold a copy of the jars for each process
            shutil.rmtree(self._directory / name, ignore_errors=True)

    def arguments(
        self,
        *,
        parallelism: int = 1,
        environment: str = "LOOPBACK",
        checkpoint_millis: int = 1000,
        finite: bool = False,
        savepoint: str | None = None,
    ) -> list[str]:
        """Return the pipeline options of a job here.

        Args:
            parallelism: the parallelism of the job.
            environment: "LOOPBACK", or host and port of an external worker pool.
            checkpoint_millis: the time between two checkpoints, in milliseconds.
            finite: whether all reads are finite. Only then does the job end by itself. For other reads it must be
                False: once Flink has shut the sources down, it ignores the delays that a source asks for.
            savepoint: the savepoint that the job is restored from.
        """
        loopback = environment == "LOOPBACK"
        arguments = [
            "--runner=PortableRunner",
            f"--job_endpoint={HOST}:{self._job_port}",
            f"--environment_type={'LOOPBACK' if loopback else 'EXTERNAL'}",
            "--streaming",
            f"--parallelism={parallelism}",
            f"--checkpointing_interval={checkpoint_millis}",
            "--finish_bundle_before_checkpointing",
            "--max_bundle_time_mills=100",
        ]
        if finite:
            arguments.append("--shutdown_sources_after_idle_ms=1000")
        if not loopback:
            arguments.append(f"--environment_config={environment}")
        if savepoint is not None:
            arguments.append(f"--savepoint_path={savepoint}")
        return arguments

    @property
    def rest_url(self) -> str:
        """The REST interface of the session cluster, or of the job that was last submitted to an embedded Flink."""
        if self._cluster:
            return f"http://{HOST}:{self._rest_port}"
        assert self.job_server is not None  # noqa: S101 - started
        return f"http://{HOST}:{self.job_server.said(_REST)[-1]}"

    @property
    def job(self) -> Job:
        """The last submitted job that still runs."""
        return next(job for job in reversed(jobs(self.rest_url)) if job.state in ("RUNNING", "RESTARTING", "CREATED"))

    @property
    def savepoints(self) -> str:
        """The directory of the savepoints."""
        return (self._directory / "savepoints").as_uri()

    def _check(self) -> None:
        for child in [self.job_manager, *self.task_managers]:
            if child is not None and not child.running:
                raise RuntimeError(f"{child.name} ended; its last lines:\n{child.tail()}")

    def _configure(self) -> None:
        settings = {
            "rest.address": HOST,
            "rest.bind-address": HOST,
            "rest.bind-port": "0",
            "jobmanager.rpc.address": HOST,
            "jobmanager.rpc.port": str(free_port()) if self._cluster else "0",
            "jobmanager.memory.process.size": "1g",
            "taskmanager.host": HOST,
            "taskmanager.numberOfTaskSlots": str(self._slots),
            "io.tmp.dirs": str(self._directory / "tmp"),
            "state.backend.type": "hashmap",
            "execution.checkpointing.dir": (self._directory / "checkpoints").as_uri(),
            "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
            "execution.checkpointing.checkpoints-after-tasks-finish": "true",
            "restart-strategy.type": "fixed-delay",
            "restart-strategy.fixed-delay.attempts": str(self._restarts),
            "restart-strategy.fixed-delay.delay": "1 s",
            "heartbeat.interval": "1000",
            "heartbeat.timeout": "5000",
            "pekko.ask.timeout": "10 s",
            **(TASK_MANAGER if self._cluster else {}),
        }
        assert self._class_path is not None  # noqa: S101 - checked by start
        text = configuration(flink_version(self._class_path), settings)
        (self._directory / "conf" / FILE).write_text(text)

    def _run(self, name: str, main_class: str, arguments: Sequence[str]) -> Child:
        assert self._class_path is not None  # noqa: S101 - checked by start
        opened = [option for package in _OPENED for option in ("--add-opens", f"java.base/{package}=ALL-UNNAMED")]
        command = [
            self._java,
            "-Xmx1g",
            "-XX:+UseSerialGC",
            f"-Djava.io.tmpdir={self._directory / 'tmp'}",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            *opened,
            "--add-exports",
            "java.base/sun.net.util=ALL-UNNAMED",
            "-cp",
            self._class_path,
            main_class,
            *arguments,
        ]
        return Child(command, self._directory / f"{name}.log", directory=self._directory)
