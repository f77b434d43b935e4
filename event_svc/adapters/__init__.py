"""What implements the ports of events, named for the technology."""
