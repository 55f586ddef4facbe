"""How a run is worked on: asked, evaluated, recorded, told."""
