"""PetPro's command line for the people who operate it."""
