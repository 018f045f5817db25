"""Wire fuzzing: answers that differ from the documented ones in one place."""
