"""What runs a frozen network, behind one protocol: torch or OpenVINO, at three precisions."""
