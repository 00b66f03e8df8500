"""Simulation of planned trials: sufficient statistics are drawn, and every replicate is fitted at once."""
