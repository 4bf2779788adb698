"""One call: attempts, observers, middleware, meters, and reading the response."""
