"""A payer simulator: a real HTTP server that speaks Stedi's documented paths, with people and faults to order."""
