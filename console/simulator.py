"""`covey payer-sim`: the payer simulator by itself."""
