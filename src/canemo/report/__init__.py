"""What a run found, for people: charts, picture sheets, the HTML report and texts to paste."""
