"""Programs that measure PetPro beside its limits in one run, and print ratios. Never timed tests."""
