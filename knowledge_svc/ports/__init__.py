"""What the service needs from outside, and what it may rely on, one noun a module."""
