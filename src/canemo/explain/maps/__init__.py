"""Maps of where in a picture the evidence lies, a method a module."""
