"""JSON Schemas that are given: their validity, values and type."""
