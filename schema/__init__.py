"""The GraphQL types and roots; no I/O of their own."""
