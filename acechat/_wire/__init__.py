"""Convert between JSON or SSE bytes and structs, without I/O."""
