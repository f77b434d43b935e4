"""What happened: the append-only log of events, and how far its consumers have come."""
