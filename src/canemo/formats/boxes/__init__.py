"""Face boxes and outlines as annotation programs write them."""
