"""Guests at growing load until the knee: `python -m loadtests.knee` (loadtests/README.md)."""
