"""Record the exchanges of a call and keep them in cassettes."""
