"""Admission to the slots: who may call a payer next, and what becomes of the call."""
