"""Who is who: people, their links to platforms, and what they allow."""
