"""The use cases behind the schema: plain arguments in, domain values out, no GraphQL."""
