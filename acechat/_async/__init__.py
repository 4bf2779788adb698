"""The asyncio client and its objects."""
