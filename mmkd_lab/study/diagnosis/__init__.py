"""A diagnosis of one pair of modalities: what each tells, what is shared, and what to do about it."""
