"""The log on Kafka: topics, writer, the one reader of a process, and reading what is older."""
