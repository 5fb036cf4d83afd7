"""The use cases: plain arguments in, domain values out. No GraphQL, no HTTP, no storage of their own."""
