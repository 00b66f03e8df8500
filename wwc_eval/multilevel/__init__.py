"""Multilevel models."""
