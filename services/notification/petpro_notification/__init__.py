"""The notification service: tells people what became of their bookings."""
