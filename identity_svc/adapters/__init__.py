"""What implements the ports of identity, named for the technology."""
