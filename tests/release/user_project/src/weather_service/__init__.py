"""A service that answers questions about the weather."""
