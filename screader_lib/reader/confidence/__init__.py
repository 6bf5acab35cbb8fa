"""How far a prediction can be trusted, and what it rests on."""
