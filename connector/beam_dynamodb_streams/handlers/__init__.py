"""Handlers that run unchanged as steps of a pipeline: Lambda functions, and record processors of the KCL.

- `pattern`, `pattern_values`, `pattern_match`: the event patterns of `FilterCriteria`; `filter_criteria` applies them.
- `lambda_event`, `lambda_context`: what a Lambda function is given.
- `answers`, `attempts`: what an answer means, and what happens to a batch after it.
- `lanes`: the batches of a bundle, in an order that keeps the order of each key.
- `invoke`: the step `InvokeHandler`; `tumbling`: the same with tumbling windows.
- `record_processor`, `process_records`: the step `ProcessRecords`.

All of it is pure except the modules that import Beam: `invoke`, `tumbling` and `process_records`.
"""
