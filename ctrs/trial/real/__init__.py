"""Real chest scans: simulated disease painted into them, and follow-ups made from them."""
