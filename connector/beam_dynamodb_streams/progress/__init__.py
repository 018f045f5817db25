"""Progress outside the runner: how far an application delivered, in a table or a file, and who may move it."""
