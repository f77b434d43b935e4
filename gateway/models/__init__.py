"""The bodies and queries of requests: the HTTP contract, and the OpenAPI document of it.

Types are exact (no text for a number), and fields that are not here are refused, so that a
slip in a client is an error and not a silence.
"""
