"""The versions of the notification service's database."""
