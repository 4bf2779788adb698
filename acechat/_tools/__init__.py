"""Describe functions and types as JSON Schema, run tool calls, keep the state of a run."""
