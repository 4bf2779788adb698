"""Things that are kept between commands: conversations, templates, model aliases."""
