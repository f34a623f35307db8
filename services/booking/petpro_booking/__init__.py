"""Booking: when a service can be had, who holds a seat, and what was booked."""
