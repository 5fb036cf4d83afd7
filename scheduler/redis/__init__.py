"""Admission among many instances: one script in Redis decides, one step a decision."""
