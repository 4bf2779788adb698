"""The files of a bulk run: the output, and the journal beside it."""
