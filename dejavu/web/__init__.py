"""HTTP: the routes, what they read, what they answer, and the server underneath."""
