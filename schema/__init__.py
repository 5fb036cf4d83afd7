"""The GraphQL types and roots, the limits of documents, and how errors are told; no I/O of their own."""
