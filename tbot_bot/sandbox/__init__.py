"""The sandbox exchange: the vendors at wire level before one simulated market, for rehearsals and for breaking."""
