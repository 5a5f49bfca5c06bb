"""Measurement of many attacks on many metrics."""
