"""Services elsewhere, asked politely and once."""
