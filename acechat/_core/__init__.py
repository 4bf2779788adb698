"""One call: attempts, retries, observers, middleware, and the reading of its response."""
