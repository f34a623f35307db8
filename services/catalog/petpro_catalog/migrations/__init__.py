"""The versions of the catalog's database."""
