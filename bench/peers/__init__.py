"""The cancellation of PetPro beside the same steps on other people's engines. Each runs in a venv of its own."""
