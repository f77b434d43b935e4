"""What surrounds every request, as plain ASGI: outermost `observe`, then `guard`, then `limits`."""

# Answered whatever the load, and to whoever asks.
HEALTH = frozenset({"/healthz", "/readyz"})
