"""Find secrets in data, in the encodings in which a service may echo them."""
