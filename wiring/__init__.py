"""The composition root's parts: what `app.py` puts together, by what the settings choose."""
