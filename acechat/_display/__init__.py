"""Display in notebooks: HTML and short tracebacks, made only when a notebook asks for them."""
