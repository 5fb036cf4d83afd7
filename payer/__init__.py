"""The payer's side: who the payers are, how they are asked, and a simulator that answers in their place."""
