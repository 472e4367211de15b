"""`python -m bankkit serve | demo | doctor | grade`."""
