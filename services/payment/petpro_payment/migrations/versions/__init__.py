"""The versions of payment's database."""
