"""One file a data set: `read` makes a `Sheet` of a folder, and `PUBLICATION` says what there is to say."""
