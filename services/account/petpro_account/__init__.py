"""The account service: users, their pets, sign-in, and the keys that verify their tokens."""
