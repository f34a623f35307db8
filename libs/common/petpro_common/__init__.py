"""What every PetPro service needs, and nothing that only one of them does."""
