"""The catalog: clinics, what they offer, who works there, and what customers say of them."""
