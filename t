hello, old world
