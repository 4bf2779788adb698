"""Error responses: their bodies, and the exceptions made of them."""
