"""Bulk runs on many machines: one limit for all workers, and one journal for each block of rows."""
