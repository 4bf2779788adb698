"""Properties of a call besides its messages: schema, tools, dry run, retry notices."""
