"""A record processor for the MultiLangDaemon: appends what it processed to a file, and checkpoints each batch.

Runs in the environment of amazon_kclpy, so it imports nothing else. KCL_RECORDS names the file.
"""

import json
import os

from amazon_kclpy import kcl
from amazon_kclpy.v3 import processor


class Processor(processor.RecordProcessorBase):
    def initialize(self, initialize_input):
        self._shard = initialize_input.shard_id
        self._write("initialize", initialize_input.sequence_number)

    def process_records(self, process_records_input):
        for record in process_records_input.records:
            self._write("record", record.sequence_number, record.binary_data.decode(), record.partition_key)
        if process_records_input.records:
            process_records_input.checkpointer.checkpoint()

    def lease_lost(self, _):
        self._write("lease_lost")

    def shard_ended(self, shard_ended_input):
        self._write("shard_ended")
        shard_ended_input.checkpointer.checkpoint()

    def shutdown_requested(self, shutdown_requested_input):
        shutdown_requested_input.checkpointer.checkpoint()

    def _write(self, event, number=None, data=None, key=None):
        line = {"event": event, "shard": self._shard, "number": number, "data": data, "key": key}
        with open(os.environ["KCL_RECORDS"], "a") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    kcl.KCLProcess(Processor()).run()
