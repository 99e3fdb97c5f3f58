"""What canemo costs on this machine, measured part by part; each part is one function."""
