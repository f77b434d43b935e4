"""The compositions: what takes more than one service."""
