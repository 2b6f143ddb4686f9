"""How fast networks, backends and whole pipelines are, and how fast they could be."""
