"""Text, Markdown, prompts and progress in a terminal."""
