"""Splits by subject, classifiers, evaluation on unseen subjects, the saved model."""
