"""The HTTP API: routes, wire types, authentication, problems, and the OpenAPI document."""
