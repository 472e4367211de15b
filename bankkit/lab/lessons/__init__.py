"""The questions of the lessons: one module a lesson, `lesson_NN.py`, found by its name."""
