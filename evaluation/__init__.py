"""How much of what answers a question search finds."""
