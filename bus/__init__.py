"""The bottom room: events, the log that holds them, and how they reach readers."""
