"""Images and documents as parts of messages."""
