"""Flink behind Beam's job server, from Maven's jars (`make flink`): embedded, or as a session cluster, without Docker.

`python -m runners.flink` serves one by hand; tests use `Flink`.
"""

from runners.flink.launch import Flink, class_path
from runners.flink.rest import Job

__all__ = ["Flink", "Job", "class_path"]
