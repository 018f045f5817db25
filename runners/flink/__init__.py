"""Flink behind Beam's job server, from Maven's jars (`make flink`): embedded, or as a session cluster. No Docker.

``python -m runners.flink`` serves one by hand; ``Flink`` is what a test holds.
"""

from runners.flink.launch import Flink, class_path
from runners.flink.rest import Job

__all__ = ["Flink", "Job", "class_path"]
