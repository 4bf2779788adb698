"""Retries, budgets and rate limits as pure arithmetic: the current time is an argument."""
