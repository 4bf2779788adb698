"""The content of the emulator's completions: plausible values, tokens and costs."""
