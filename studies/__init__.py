"""Trainings and what came of them: results go to results/, with the commands that gave them."""
