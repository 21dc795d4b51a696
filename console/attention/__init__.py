"""Attention in numbers: how often runs ask people, how long people take, and how often they change anything."""
