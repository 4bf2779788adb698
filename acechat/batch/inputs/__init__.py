"""Parts of reading an input: ids, and standard input."""
