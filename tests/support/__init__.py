"""What the tests stand on: a real Postgres, and stand-ins for clouds that cannot be reached."""
