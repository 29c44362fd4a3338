"""Surveys: mosaics of the sky that are registered by name, and of which windows are read at a position."""
