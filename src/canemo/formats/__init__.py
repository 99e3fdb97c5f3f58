"""Other programs' files: one module a format, records in and out."""
