"""What the service stands on: its SQL functions, pgvector and WordLlama."""
