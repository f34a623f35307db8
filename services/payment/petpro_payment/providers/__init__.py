"""Payment providers: one interface, and an adapter for each."""
