"""Limits and arithmetic without a clock: retries, budgets, rate limits."""
