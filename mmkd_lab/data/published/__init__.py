"""The data sets of the literature, each read from the files in the form in which they are published."""
