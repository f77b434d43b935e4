"""`kith demo`: five friends talk on two platforms, and what Kith makes of it."""
