"""How people are reached outside of the app: a sender for each channel."""
