"""What the service is about, one noun a module: values, pure rules, and errors."""

DOMAIN = "knowledge.kith"
