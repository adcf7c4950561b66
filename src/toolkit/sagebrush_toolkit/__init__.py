"""Script mode: the user's own training and inference scripts behind the SageMaker container contract."""
