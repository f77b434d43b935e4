"""What the gateway answers: typed, documented, and rendered as plain dicts."""
