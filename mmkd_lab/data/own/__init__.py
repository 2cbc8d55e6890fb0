"""Data of your own as `PairedData`: from arrays, a table, or a folder of files."""
