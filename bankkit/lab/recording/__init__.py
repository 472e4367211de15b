"""Recordings of the calls of a running bank: made from outside, analysed, and exported."""
