"""FinAgent after arXiv 2402.18485: charts, reflections, tools."""
