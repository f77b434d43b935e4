"""The contract's messages to the domain, checked on the way, and back."""
