"""The coverage cache: what may be answered without calling a payer."""
