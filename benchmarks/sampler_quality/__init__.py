"""How good the samplers are at equal numbers of evaluations, beside what else there is."""
