"""The views in Redis: members' history, requests, people asked about; and how they are filled again."""
